// SPDX-License-Identifier: Apache-2.0 OR MIT

//! The guest's half of the harness: the init process of a guest and the programs that the suites run
//! there.
//!
//! The harness boots a guest with [`init`] as process 1. That starts one program, by
//! `vmtest guest NAME JOB ANSWER`; [`dispatch`] finds the program for the task type of [`vmtest_wire`]
//! with this name. The crate depends neither on the suites nor on the building of kernels and images.
//!
//! | module | runs in the guest |
//! | --- | --- |
//! | [`init`] | process 1: mounts, loads the module, runs the command, powers off |
//! | [`dispatch`] | one program, by its name |
//! | [`observe`] | the model's observer, on every image with every driver |
//! | [`vfs_checks`] | system calls on mounted images, compared with their specified results |
//! | [`load_unload`] | loading, mounting, reading and unloading, repeatedly, with a leak check |
//! | [`on_demand`] | images fetched over HTTP, with an empty, half-full and full cache |
//! | [`misses`] | READ requests and wake-ups per missing range |
//! | [`flood`] | a flood of requests, and its cost for others |
//! | [`conform`] | scenarios of the on-demand protocol |
//! | [`faults`] | killed daemons, failing disks, signals, power cuts, many mounts |
//! | [`nydus`] | images served by nydusd |
//! | [`mod@bench`] | instructions and device reads of workloads |
//! | [`fanotify_handler`], [`mounts`], [`null_blk`], [`process`], [`read_path`], [`leak_counters`], [`kernel_log`] | building blocks of the programs above |
//! | [`sys`] | system calls without a safe wrapper: the only unsafe code of the harness |

#![deny(unsafe_code)]

pub mod bench;
pub mod conform;
pub mod dispatch;
pub mod fanotify_handler;
mod fault_injection;
pub mod faults;
pub mod flood;
pub mod init;
pub mod kernel_log;
pub mod leak_counters;
pub mod load_unload;
pub mod misses;
pub mod mounts;
pub mod null_blk;
pub mod nydus;
pub mod observe;
pub mod on_demand;
pub mod process;
pub mod read_path;
pub mod sys;
pub mod vfs_checks;
