// SPDX-License-Identifier: GPL-2.0

//! The request table: submission, delivery, answers, and the end of requests.

use ondine_ondemand::requests::Map;

mod answers;
mod census;
mod cost;
mod delivery;
mod endings;
mod random;
mod submission;
mod table;
#[path = "../support/tree.rs"]
mod tree;
