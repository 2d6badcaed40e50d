#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    mcx_token_broker_fuzz::token_request::check(input);
});
