// SPDX-License-Identifier: Apache-2.0 OR MIT

//! The jobs that the host sends to programs in the guest, their answers, and names that both use.
//!
//! Host and guest run the same program, so both always agree on the serialized form. Nothing of it is
//! kept between runs.
//!
//! | module | contents |
//! | --- | --- |
//! | [`boot`] | the job and the reports of a guest's first process |
//! | [`task`] | the trait that ties a job to its program and its answer |
//! | [`disk`] | the file systems of a guest's disks |
//! | [`image`] | observation of mounted images |
//! | [`vfs_checks`], [`load_unload`] | jobs of the suites without a daemon |
//! | [`on_demand`], [`misses`], [`flood`], [`nydus`], [`faults`] | jobs of the suites with a daemon |
//! | [`conform`] | the scenarios of the on-demand protocol |
//! | [`mod@bench`] | workloads, measured mounts and results of the benchmark |
//! | [`counters`] | the counters of on-demand mounts |
//! | [`fixtures`] | files with generated contents |
//! | [`paths`] | directories of a guest |

#![forbid(unsafe_code)]

pub mod bench;
pub mod boot;
pub mod conform;
pub mod counters;
pub mod disk;
pub mod faults;
pub mod fixtures;
pub mod flood;
pub mod image;
pub mod load_unload;
pub mod misses;
pub mod nydus;
pub mod on_demand;
pub mod paths;
pub mod task;
pub mod vfs_checks;
