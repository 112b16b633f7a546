// SPDX-License-Identifier: GPL-2.0

//! Work that an object has to do later, in a task of its own.
//!
//! C header: [`include/linux/workqueue.h`](srctree/include/linux/workqueue.h)

use super::batch::Completions;
use core::ops::Deref;
use kernel::{
    prelude::*,
    sync::Arc,
    workqueue::{impl_has_work, new_work, Work, WorkItem},
};

/// What is to be done later.
pub(crate) trait Background: Send + Sync + Sized + 'static {
    /// Does it. Runs in one task at a time.
    fn run(&self);
}

/// A value with work to do later.
#[pin_data]
pub(crate) struct Deferred<T: Background> {
    #[pin]
    work: Work<Deferred<T>>,
    #[pin]
    value: T,
}

impl_has_work! {
    impl{T: Background} HasWork<Self> for Deferred<T> { self.work }
}

impl<T: Background> Deferred<T> {
    /// Nothing to do yet.
    pub(crate) fn new(value: impl PinInit<T, Error>) -> impl PinInit<Self, Error> {
        try_pin_init!(Self {
            work <- new_work!("ondine::Deferred"),
            value <- value,
        })
    }

    /// Has [`Background::run`] called once more, from now on.
    pub(crate) fn kick(this: &Arc<Self>) {
        // If it is queued already, it will see what there is to do.
        let _queued = Completions::queue().enqueue(this.clone());
    }
}

impl<T: Background> WorkItem for Deferred<T> {
    type Pointer = Arc<Self>;

    fn run(this: Arc<Self>) {
        this.value.run();
    }
}

impl<T: Background> Deref for Deferred<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}
