//! Tests of documents and trees.
mod tree;
