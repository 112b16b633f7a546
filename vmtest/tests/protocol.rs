// SPDX-License-Identifier: Apache-2.0 OR MIT

//! The request table against the model: two machines that share no code must tell a daemon and its readers the same,
//! whatever either of them does.
//!
//! 256 scripts are played; `PROPTEST_CASES` asks for more.

mod protocol {
    mod cache;
    mod device;
    mod scripts;
    mod seen;
    mod slots;
    mod task;
    mod world;
}
