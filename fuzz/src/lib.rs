//! What is fuzzed: one module for each thing that strangers write and the broker reads. Its `check` gives the bytes to the
//! production functions that read them first, and panics when something that they accept is not as it must be.
//!
//! libFuzzer runs these (`targets/`); tests/integration/fuzzing.rs runs the same functions on the seeds and on a bounded
//! number of spoilt seeds, with every test run and without any other tool.

pub mod edits;
pub mod home;
pub mod key_set;
pub mod logout_token;
pub mod partner_file;
pub mod sealed_entry;
pub mod subject_token;
pub mod token_request;
pub mod token_response;

/// Gives one input to the production functions; says whether they accepted it.
pub type Check = fn(&[u8]) -> bool;

/// Every target, by the name of its directory in `seeds/`.
pub const TARGETS: [(&str, Check); 7] = [
    ("token_request", token_request::check),
    ("subject_token", subject_token::check),
    ("token_response", token_response::check),
    ("key_set", key_set::check),
    ("partner_file", partner_file::check),
    ("logout_token", logout_token::check),
    ("sealed_entry", sealed_entry::check),
];
