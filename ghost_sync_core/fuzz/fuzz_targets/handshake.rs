#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| ghost_sync_fuzz::handshake(data));
