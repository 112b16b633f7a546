// SPDX-License-Identifier: Apache-2.0 OR MIT

//! Exhaustive exploration of small configurations: readers, a kernel, and a daemon that may answer
//! in any order, late, twice, wrongly or never, lose descriptors, die and restart.
//!
//! `cargo test -p ondine-model --test exploration -- --nocapture` prints the number of states. The
//! larger configurations take minutes: add `--features larger-worlds` and a name such as
//! `larger_two_blobs`.

mod exploration {
    mod configurations;
    mod flaw;
    mod monitor;
    mod property;
    mod rescue;
    mod test_state;
    mod transition;
}
