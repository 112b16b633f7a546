// SPDX-License-Identifier: Apache-2.0 OR MIT

//! The suites: each makes images, boots guests, and judges what they answer.

pub mod bench;
pub mod compare;
pub mod conform;
pub mod corrupted;
pub mod density;
pub mod faults;
pub mod flood;
pub mod load_unload;
pub mod misses;
pub mod nydus;
pub mod on_demand;
pub mod vfs_checks;
