//! Tests of documents and trees.
mod tree;
mod written_tree;
