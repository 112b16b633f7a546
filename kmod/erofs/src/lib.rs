// SPDX-License-Identifier: GPL-2.0

//! EROFS on-disk format.
#![cfg_attr(not(MODULE), no_std)]
#![forbid(unsafe_code)]
