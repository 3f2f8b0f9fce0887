//! Searches, each for one way in which a text can say a value.

pub mod contact;
pub mod date;
pub mod fuzzy;
pub mod ideographs;
mod months;
pub mod near;
pub mod number;
pub mod number_words;
pub mod squash;
pub mod time;
pub mod units;
pub mod words;
