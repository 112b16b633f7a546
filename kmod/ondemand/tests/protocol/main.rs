// SPDX-License-Identifier: GPL-2.0

//! The rules of `spec/cachefiles-ondemand.md`, each against a plain model.

mod errno;
mod message;
mod presence;
