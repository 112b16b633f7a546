// SPDX-License-Identifier: GPL-2.0

//! The rules of docs/spec/cachefiles-ondemand.md, each against a plain model.

mod command;
mod errno;
mod limits;
mod message;
mod names;
mod presence;
mod writers;
