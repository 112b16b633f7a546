// SPDX-License-Identifier: Apache-2.0 OR MIT

//! Every state of small worlds: readers, a kernel, and a daemon that may answer in any order, late, twice, wrongly or
//! never, lose descriptors, die and come back.
//!
//! `cargo test -p ondine-model --test exploration -- --nocapture` prints how many states were seen. The larger worlds
//! take minutes: add `--features larger-worlds` and a name such as `larger_two_blobs`.

mod exploration {
    mod flaw;
    mod ghost;
    mod property;
    mod rescue;
    mod step;
    mod world;
    mod worlds;
}
