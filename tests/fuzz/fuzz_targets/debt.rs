//! Debts of mirrors.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let _ = larder::format::debt::DebtRecord::decode(data, "fuzz");
});
