//! Everything that is tested from outside: the rules of the source tree, the servers that the tests start, the broker.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::large_futures,
    reason = "tests and their harness fail by panicking, and run one future each"
)]

mod admin_listener;
mod audit;
mod authgent;
mod authgent_broker;
mod authlib;
mod bad_days;
mod cache;
mod callers;
mod cli;
mod client_certificates;
mod coalescing;
mod documents;
mod errors;
mod exchange;
mod explain;
mod explained_failures;
mod fuzzing;
mod home_keys;
mod idm_errors;
mod idm_outages;
mod introspection;
mod json_depth;
mod jwt_hardening;
mod jwt_mutation;
mod layers;
mod manual;
mod mint;
mod mismatch;
mod monitoring;
mod openapi;
mod operations;
mod overload;
mod partner_answers;
mod partner_authentication;
mod partner_revocation;
mod partners_add;
mod partners_list;
mod partners_test;
mod policy;
mod purges;
mod redis_deployments;
mod redis_faults;
mod redis_link;
mod redis_network;
mod redis_passwords;
mod redis_server;
mod reload;
mod reload_load;
mod remembered;
mod renewal;
mod revocation;
mod runbook;
mod samples;
mod schema;
mod secrets;
mod seeds;
mod shift_change;
mod start_and_stop;
mod status;
mod status_page;
mod status_pictures;
mod support;
mod tls;
mod traces;
mod vendors;
mod week;
