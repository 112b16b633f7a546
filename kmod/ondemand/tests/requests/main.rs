// SPDX-License-Identifier: GPL-2.0

//! The request table: submission, delivery, answers, and the end of requests.

use ondine_ondemand::requests::Store;

mod answers;
mod census;
mod delivery;
mod endings;
mod random;
#[path = "../support/slots.rs"]
mod slots;
mod submission;
mod table;
