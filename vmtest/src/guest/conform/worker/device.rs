// SPDX-License-Identifier: Apache-2.0 OR MIT

//! Operations on the device.

use std::os::fd::{AsRawFd as _, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Barrier;
use std::time::Duration;

use anyhow::{anyhow, Context, Result};
use ondine_model::observation::Errno as Error;
use ondined::protocol::{decode, Operation, MSG_MAX};
use rustix::event::{epoll, poll, PollFd, PollFlags, Timespec};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use super::{Failure, Kept, Outcome, Worker, NOTHING, TURN};
use crate::conform::op::{Access, Bytes, DEVICE};
use crate::conform::step::OK;
use crate::guest::conform::idle::Idle;
use crate::guest::sys;

impl Worker {
    pub(super) fn open(&mut self, name: String, access: Access) -> Outcome {
        let access = match access {
            Access::Both => OFlags::RDWR,
            Access::Read => OFlags::RDONLY,
            Access::Write => OFlags::WRONLY,
        };
        let flags = access | OFlags::CLOEXEC;
        let fd = rustix::fs::open(&self.place.device, flags, Mode::empty())?;
        self.keep(name, fd, None)?;
        Ok(OK.to_owned())
    }

    pub(super) fn write(&self, text: &str, handle: &str, pad: Option<usize>) -> Outcome {
        let mut text = self.expand(text)?.into_bytes();
        if let Some(length) = pad {
            text.push(b'\n');
            text.resize(length, b'x');
        }
        let count = rustix::io::write(self.fd(handle)?, &text)?;
        Ok(if count == text.len() {
            OK.to_owned()
        } else {
            format!("{count} of {}", text.len())
        })
    }

    /// `$cache` and `{message}` as what they stand for.
    fn expand(&self, text: &str) -> Result<String> {
        let mut text = text.replace("$cache", &self.place.cache.to_string_lossy());
        while let Some((before, rest)) = text.split_once('{') {
            let (name, after) = rest.split_once('}').context("no } behind the {")?;
            text = format!("{before}{}{after}", self.message(name)?);
        }
        Ok(text)
    }

    /// The id of the message called `name`.
    pub(super) fn message(&self, name: &str) -> Result<u32> {
        let id = self.messages.get(name).copied();
        id.with_context(|| format!("no message is called {name}"))
    }

    /// Opens and binds: all of it must succeed.
    pub(super) fn bind(&mut self) -> Outcome {
        self.open(DEVICE.to_owned(), Access::Both)?;
        self.write("dir $cache", DEVICE, None)?;
        self.write("bind ondemand", DEVICE, None)
    }

    pub(super) fn copen(&self, object: &str, answer: Option<String>) -> Outcome {
        let answer = match answer {
            Some(answer) => answer,
            None => self.size(object)?.to_string(),
        };
        self.write(&format!("copen {{{object}}},{answer}"), DEVICE, None)
    }

    pub(super) fn read(&mut self, room: usize, ids: bool, name: Option<String>) -> Outcome {
        Ok(match self.message_from_device(room)? {
            Some(message) => self.tell(message, ids, name),
            None => NOTHING.to_owned(),
        })
    }

    fn message_from_device(&mut self, room: usize) -> Outcome<Option<Kept>> {
        let mut buffer = vec![0; room];
        let count = rustix::io::read(self.fd(DEVICE)?, &mut buffer)?;
        if count == 0 {
            return Ok(None);
        }
        let message = decode(&buffer[..count]).map_err(|error| anyhow!("{error}"))?;
        let (id, number) = (message.id.0, message.object.0);
        let (object, said) = match message.operation {
            Operation::Open {
                volume,
                cookie,
                fd,
                flags,
            } => {
                let cookie = String::from_utf8_lossy(cookie).into_owned();
                self.keep(cookie.clone(), sys::adopt(fd), Some(number))?;
                self.messages.insert(cookie.clone(), id);
                let flags = match flags {
                    0 => String::new(),
                    other => format!(" flags={other:#x}"),
                };
                let volume = String::from_utf8_lossy(volume);
                let said = format!("OPEN {cookie} volume={volume}{flags}");
                (cookie, said)
            }
            Operation::Close => {
                let object = self.object(number);
                let said = format!("CLOSE {object}");
                (object, said)
            }
            Operation::Read { offset, len } => {
                let object = self.object(number);
                self.messages.insert(format!("{object}.read"), id);
                let said = format!("READ {object} {offset}+{len}");
                (object, said)
            }
        };
        let with_ids = format!("{said} message={id} object={number}");
        Ok(Some(Kept {
            id,
            object,
            said,
            with_ids,
        }))
    }

    fn tell(&mut self, message: Kept, ids: bool, name: Option<String>) -> String {
        if let Some(name) = name {
            self.messages.insert(name, message.id);
        }
        if ids {
            message.with_ids
        } else {
            message.said
        }
    }

    fn object(&self, id: u32) -> String {
        match self.objects.get(&id) {
            Some(name) => name.clone(),
            None if id == u32::MAX => "-1".to_owned(),
            None => "?".to_owned(),
        }
    }

    /// A read may find nothing although poll said otherwise, and start what brings a message.
    pub(super) fn recv(
        &mut self,
        ids: bool,
        name: Option<String>,
        object: Option<&str>,
    ) -> Outcome {
        let mut idle = Idle::default();
        loop {
            let wanted = |one: &Kept| object.is_none_or(|object| object == one.object);
            if let Some(at) = self.kept.iter().position(wanted) {
                let message = self.kept.remove(at);
                return Ok(self.tell(message, ids, name));
            }
            self.ready(TURN)?;
            match self.message_from_device(MSG_MAX)? {
                Some(message) => self.kept.push(message),
                None if idle.is_lasting()? => return Ok(NOTHING.to_owned()),
                None => {}
            }
        }
    }

    fn ready(&self, wait: Duration) -> Outcome<PollFlags> {
        let wait = Timespec::try_from(wait).map_err(anyhow::Error::from)?;
        let events = PollFlags::IN | PollFlags::OUT | PollFlags::PRI;
        let mut polled = [PollFd::from_borrowed_fd(self.fd(DEVICE)?, events)];
        poll(&mut polled, Some(&wait))?;
        Ok(polled[0].revents())
    }

    pub(super) fn poll(&self) -> Outcome {
        let seen = self.ready(Duration::ZERO)?;
        Ok(named(&[
            (seen.contains(PollFlags::IN), "IN"),
            (seen.contains(PollFlags::OUT), "OUT"),
            (seen.contains(PollFlags::PRI), "PRI"),
            (seen.contains(PollFlags::ERR), "ERR"),
            (seen.contains(PollFlags::HUP), "HUP"),
        ]))
    }

    pub(super) fn edge(&mut self) -> Outcome {
        let watch = match self.epoll.take() {
            Some(watch) => watch,
            None => self.watch()?,
        };
        let mut events = Vec::with_capacity(4);
        let none = Timespec::try_from(Duration::ZERO).map_err(anyhow::Error::from)?;
        let result = epoll::wait(
            &watch,
            rustix::buffer::spare_capacity(&mut events),
            Some(&none),
        );
        self.epoll = Some(watch);
        result?;
        let seen = events
            .first()
            .map_or(epoll::EventFlags::empty(), |e| e.flags);
        Ok(named(&[
            (seen.contains(epoll::EventFlags::IN), "IN"),
            (seen.contains(epoll::EventFlags::OUT), "OUT"),
            (seen.contains(epoll::EventFlags::HUP), "HUP"),
        ]))
    }

    fn watch(&self) -> Outcome<OwnedFd> {
        let watch = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let events = epoll::EventFlags::IN | epoll::EventFlags::OUT | epoll::EventFlags::ET;
        let data = epoll::EventData::new_u64(0);
        epoll::add(&watch, self.fd(DEVICE)?, data, events)?;
        Ok(watch)
    }

    pub(super) fn read_nowhere(&self) -> Outcome {
        let count = sys::read_nowhere(self.fd(DEVICE)?, MSG_MAX)?;
        Ok(match count {
            0 => NOTHING.to_owned(),
            count => count.to_string(),
        })
    }

    /// The descriptor's number is one that nobody else in this process has.
    pub(super) fn snatch(&mut self) -> Outcome {
        let device = self.fd(DEVICE)?;
        let number = rustix::io::dup(device)?.as_raw_fd();
        let (both, over) = (Barrier::new(2), AtomicBool::new(false));
        let mut buffer = [0; MSG_MAX];
        let count = std::thread::scope(|scope| {
            scope.spawn(|| {
                both.wait();
                while !sys::close_number(number) && !over.load(Ordering::Relaxed) {
                    std::hint::spin_loop();
                }
            });
            both.wait();
            let count = rustix::io::read(device, &mut buffer);
            over.store(!matches!(count, Ok(1..)), Ordering::Relaxed);
            count
        })?;
        if count == 0 {
            return Ok(NOTHING.to_owned());
        }
        let message = decode(&buffer[..count]).map_err(|error| anyhow!("{error}"))?;
        let Operation::Open { cookie, .. } = message.operation else {
            return Err(anyhow!("it is no OPEN").into());
        };
        let cookie = String::from_utf8_lossy(cookie).into_owned();
        let said = format!("OPEN {cookie}");
        self.messages.insert(cookie, message.id.0);
        Ok(said)
    }

    /// Answers every message that is there, or comes in a moment; which they were.
    pub(super) fn turn(&mut self, starving: bool) -> Outcome {
        self.ready(TURN)?;
        let mut all = Vec::new();
        loop {
            let said = match self.read(MSG_MAX, false, None) {
                // An OPEN that was restored to the queue although it had been read.
                Err(Failure::Errno(Error::EEXIST)) => continue,
                said => said?,
            };
            let mut words = said.split(' ');
            let (what, object) = (words.next(), words.next().unwrap_or_default());
            match what {
                Some("OPEN") => self.answer_open(object)?,
                Some("CLOSE") => drop(self.handles.remove(object)),
                Some("READ") if starving => drop(self.complete(object, None)?),
                Some("READ") => self.answer_read(object, words.next().unwrap_or_default())?,
                _ => break,
            }
            all.push(format!("{} {object}", what.unwrap_or_default()));
        }
        Ok(if all.is_empty() {
            OK.to_owned()
        } else {
            all.join(", ")
        })
    }

    fn answer_open(&mut self, object: &str) -> Outcome<()> {
        if self.blob(object).exists() {
            let answered = self.copen(object, None);
            if let Err(Failure::Errno(Error::EINVAL)) = answered {
                // The OPEN has been ended in between: nobody will use its descriptor.
                self.handles.remove(object);
                return Ok(());
            }
            answered?;
        } else {
            self.handles.remove(object);
            let none = -Errno::NOENT.raw_os_error();
            self.copen(object, Some(none.to_string()))?;
        }
        Ok(())
    }

    fn answer_read(&mut self, object: &str, range: &str) -> Outcome<()> {
        let (offset, length) = range.split_once('+').context("no range")?;
        let (offset, length) = (
            offset.parse().context("the offset")?,
            length.parse().context("the length")?,
        );
        self.pwrite(object, offset, length, Bytes::Blob)?;
        match self.complete(object, None) {
            // It was answered before, and restored to the queue in between.
            Err(Failure::Errno(Error::EINVAL)) => Ok(()),
            done => done.map(drop),
        }
    }
}

/// The names of what is set.
pub(super) fn named(flags: &[(bool, &str)]) -> String {
    let set: Vec<&str> = flags
        .iter()
        .filter_map(|(set, name)| set.then_some(*name))
        .collect();
    if set.is_empty() {
        "quiet".to_owned()
    } else {
        set.join(" ")
    }
}
