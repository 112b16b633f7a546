// SPDX-License-Identifier: GPL-2.0

//! Work items: work that an object defers to the module's workqueue.
//!
//! C header: [`include/linux/workqueue.h`](srctree/include/linux/workqueue.h)

use super::workqueue::WorkQueue;
use core::ops::Deref;
use kernel::{
    prelude::*,
    sync::Arc,
    workqueue::{self, impl_has_work, new_work, Work},
};

/// The work function of a [`WorkItem`].
pub(crate) trait WorkHandler: Send + Sync + Sized + 'static {
    /// Called in a task of the workqueue, not concurrently for one item.
    fn run(&self);
}

/// A value with a work item.
#[pin_data]
pub(crate) struct WorkItem<T: WorkHandler> {
    #[pin]
    work: Work<WorkItem<T>>,
    #[pin]
    value: T,
}

impl_has_work! {
    impl{T: WorkHandler} HasWork<Self> for WorkItem<T> { self.work }
}

impl<T: WorkHandler> WorkItem<T> {
    /// A work item that is not queued.
    pub(crate) fn new(value: impl PinInit<T, Error>) -> impl PinInit<Self, Error> {
        try_pin_init!(Self {
            work <- new_work!("ondine::WorkItem"),
            value <- value,
        })
    }

    /// Queues the work item, so that [`WorkHandler::run`] is called after this.
    pub(crate) fn queue(this: &Arc<Self>) {
        // An item that is queued already has not begun to run, and will see the
        // changes that this caller made.
        if let Some(queue) = WorkQueue::get() {
            let _queued = queue.enqueue(this.clone());
        }
    }
}

impl<T: WorkHandler> workqueue::WorkItem for WorkItem<T> {
    type Pointer = Arc<Self>;

    fn run(this: Arc<Self>) {
        this.value.run();
    }
}

impl<T: WorkHandler> Deref for WorkItem<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}
