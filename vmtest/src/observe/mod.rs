// SPDX-License-Identifier: Apache-2.0 OR MIT

//! Observers that need no virtual machine, beside those of the model.

pub mod pure;
