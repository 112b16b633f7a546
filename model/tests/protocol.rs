// SPDX-License-Identifier: Apache-2.0 OR MIT

//! The rows of docs/spec/cachefiles-ondemand.md on the model of the protocol.

mod protocol {
    mod daemon_death;
    mod device;
    mod generated;
    mod merging;
    mod play;
    mod replies;
    mod waits;
}
