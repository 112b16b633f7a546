// SPDX-License-Identifier: GPL-2.0

//! A daemon: polls the device, reads messages, writes pages and answers.

use crate::{
    command::Answer,
    completion::RequestObject,
    delivery::{deliver, Receiver},
    double::{Cache, Flaw, ObjectRef},
    page::{PAGE_SHIFT, PAGE_SIZE},
    platform::CacheOps,
    requests::Outcome,
    session,
    sync::Release,
    Errno,
};

/// A message.
#[derive(Debug)]
pub(crate) enum Told {
    Open(u32),
    Read(u32, std::ops::Range<u64>),
}

/// A read(2) of the device.
struct Buffer(Vec<u8>);

impl Receiver<Cache> for Buffer {
    type File = ();

    fn buffer_len(&self) -> usize {
        1024
    }

    fn new_file(&mut self, _object: &ObjectRef) -> Result<((), u32), Errno> {
        Ok(((), 3))
    }

    fn set_id(&mut self, _file: &mut (), _id: u32) {}

    fn send(&mut self, message: &[u8]) -> Result<(), Errno> {
        self.0 = message.to_vec();
        Ok(())
    }

    fn install(&mut self, _file: ()) {}
}

impl Cache {
    /// poll(2), then read(2); `None` when the session is over.
    pub(crate) fn receive(&self) -> Option<Told> {
        self.pollers.wait_until(|| {
            let state = self.lock();
            state.table.is_dead() || state.table.is_readable()
        });
        let mut buffer = Buffer(Vec::new());
        deliver(self, &mut buffer).unwrap();
        let word = |at: usize| u32::from_ne_bytes(buffer.0[at..at + 4].try_into().unwrap());
        let long = |at: usize| u64::from_ne_bytes(buffer.0[at..at + 8].try_into().unwrap());
        if buffer.0.is_empty() {
            return None;
        }
        Some(match word(4) {
            0 => Told::Open(word(0)),
            2 => {
                let first = long(16) >> PAGE_SHIFT;
                Told::Read(word(0), first..first + (long(24) >> PAGE_SHIFT))
            }
            opcode => panic!("message {opcode}"),
        })
    }

    /// Answers one message.
    pub(crate) fn answer(&self, object: &ObjectRef, told: Told, pages: u64) {
        match told {
            Told::Open(id) => {
                let size = Answer::Size(pages * PAGE_SIZE);
                let late = self.has(Flaw::CompleteBeforeSize);
                let set_size = |object: &ObjectRef, _| {
                    if !late {
                        object.set_size(pages);
                    }
                    Ok(())
                };
                session::answer_open(self, id, size, set_size).unwrap();
                if late {
                    object.set_size(pages);
                }
            }
            Told::Read(id, run) => {
                if self.has(Flaw::CompleteBeforePresence) {
                    self.complete(object, id, run.start);
                    run.for_each(|page| object.write(page));
                } else {
                    run.clone().for_each(|page| object.write(page));
                    self.complete(object, id, run.start);
                }
            }
        }
    }

    /// READ_COMPLETE. The session may be over.
    fn complete(&self, object: &ObjectRef, id: u32, page: u64) {
        if self.has(Flaw::RemoveLate) {
            let found = self.lock().table.join(object.key(), page);
            if let Some(completion) = found {
                completion.complete(Outcome::Answered);
                let _removed = self.lock().table.answer_read(id, object.key());
            }
            return;
        }
        let _answered = session::answer_read(self, object, id, Outcome::Answered);
    }

    /// Answers messages until the session is over.
    pub(crate) fn serve(&self, object: &ObjectRef, pages: u64) {
        while let Some(told) = self.receive() {
            self.answer(object, told, pages);
        }
    }

    /// Binds the cache.
    pub(crate) fn bind(&self) {
        if self.has(Flaw::WakeBeforeBind) {
            self.wake_all_waiters();
            self.lock().bind((), 0);
            return self.alive().store(true, Release);
        }
        session::bind(self, (), 0);
    }

    /// Closes the device.
    pub(crate) fn close(&self) {
        if self.has(Flaw::DieInTwoSteps) {
            let end = |completion: <Self as crate::requests::Config>::Completion, outcome| {
                completion.cancel(outcome);
            };
            self.lock().table.cancel_reads(1, Outcome::Dead, end);
            self.lock().table.die(|_, _| ());
            return self.pollers.wake();
        }
        session::detach(self);
    }
}
