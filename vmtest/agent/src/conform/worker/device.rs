// SPDX-License-Identifier: Apache-2.0 OR MIT

//! Operations on the cachefiles device.

use std::os::fd::{AsRawFd as _, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Barrier;
use std::time::Duration;

use anyhow::{anyhow, Context, Result};
use ondine_model::observation::Errno as Error;
use ondined::protocol::{decode, Operation, MSG_MAX};
use rustix::event::{epoll, eventfd, poll, EventfdFlags, PollFd, PollFlags, Timespec};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use vmtest_wire::conform::op::{Access, Bytes, DEVICE};
use vmtest_wire::conform::step::OK;

use super::{Failure, Outcome, ReceivedMessage, Worker, NOTHING, TURN};
use crate::conform::idle::Idle;
use crate::sys;

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

    /// Replaces `$cache` and `{message}` in `text` by the directory and the message id.
    fn expand(&self, text: &str) -> Result<String> {
        let mut text = text.replace("$cache", &self.place.cache.to_string_lossy());
        while let Some((before, rest)) = text.split_once('{') {
            let (name, after) = rest.split_once('}').context("no } behind the {")?;
            text = format!("{before}{}{after}", self.message(name)?);
        }
        Ok(text)
    }

    /// Returns the id of the message called `name`.
    pub(super) fn message(&self, name: &str) -> Result<u32> {
        let id = self.messages.get(name).copied();
        id.with_context(|| format!("no message is called {name}"))
    }

    /// Opens and binds the device. Any failure is the result.
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

    fn message_from_device(&mut self, room: usize) -> Outcome<Option<ReceivedMessage>> {
        let mut buffer = vec![0; room];
        let count = rustix::io::read(self.fd(DEVICE)?, &mut buffer)?;
        if count == 0 {
            return Ok(None);
        }
        let message = decode(&buffer[..count]).map_err(|error| anyhow!("{error}"))?;
        let (id, number) = (message.id.0, message.object.0);
        let (object, text) = match message.operation {
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
                let text = format!("OPEN {cookie} volume={volume}{flags}");
                (cookie, text)
            }
            Operation::Close => {
                let object = self.object(number);
                let text = format!("CLOSE {object}");
                (object, text)
            }
            Operation::Read { offset, len } => {
                let object = self.object(number);
                self.messages.insert(format!("{object}.read"), id);
                let text = format!("READ {object} {offset}+{len}");
                (object, text)
            }
        };
        let with_ids = format!("{text} message={id} object={number}");
        Ok(Some(ReceivedMessage {
            id,
            object,
            text,
            with_ids,
        }))
    }

    fn tell(&mut self, message: ReceivedMessage, ids: bool, name: Option<String>) -> String {
        if let Some(name) = name {
            self.messages.insert(name, message.id);
        }
        if ids {
            message.with_ids
        } else {
            message.text
        }
    }

    fn object(&self, id: u32) -> String {
        match self.objects.get(&id) {
            Some(name) => name.clone(),
            None if id == u32::MAX => "-1".to_owned(),
            None => "?".to_owned(),
        }
    }

    /// Waits in poll(2) for a message and reads it. With ondine, poll(2) must report IN exactly if
    /// there is a message, and wake up for it. With the oracle, a read may find no message although
    /// poll(2) reported IN, and may cause one to arrive.
    pub(super) fn recv(
        &mut self,
        ids: bool,
        name: Option<String>,
        object: Option<&str>,
    ) -> Outcome {
        let mut idle = Idle::default();
        loop {
            let wanted = |one: &ReceivedMessage| object.is_none_or(|object| object == one.object);
            if let Some(at) = self.queued.iter().position(wanted) {
                let message = self.queued.remove(at);
                return Ok(self.tell(message, ids, name));
            }
            let woken = self.is_woken()?;
            match self.message_from_device(MSG_MAX)? {
                Some(message) if self.place.ours && !woken => {
                    return Ok(format!("{}, and poll was not woken", message.text));
                }
                Some(message) => self.queued.push(message),
                None if self.place.ours && woken => {
                    return Ok(format!("{NOTHING}, and poll said IN"));
                }
                None if !woken || idle.is_lasting()? => return Ok(NOTHING.to_owned()),
                None => {}
            }
        }
    }

    /// Polls the device without a time limit. Returns true if poll(2) wakes up, false if the guest
    /// becomes idle first, so that nothing would wake it.
    fn is_woken(&self) -> Outcome<bool> {
        let device = self.fd(DEVICE)?;
        let end = eventfd(0, EventfdFlags::CLOEXEC)?;
        let woken = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let mut polled = [
                    PollFd::from_borrowed_fd(device, PollFlags::IN),
                    PollFd::new(&end, PollFlags::IN),
                ];
                let done = poll(&mut polled, None);
                let found = done.is_err() || !polled[0].revents().is_empty();
                woken.store(found, Ordering::Release);
            });
            let mut idle = Idle::default();
            let waited = loop {
                if woken.load(Ordering::Acquire) {
                    break Ok(true);
                }
                match idle.is_lasting() {
                    Ok(false) => std::thread::sleep(Duration::from_millis(2)),
                    // It may have woken up since the check above.
                    Ok(true) => break Ok(woken.load(Ordering::Acquire)),
                    Err(why) => break Err(why.into()),
                }
            };
            rustix::io::write(&end, &1u64.to_ne_bytes())?;
            waited
        })
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

    /// Closes the descriptor of an OPEN while the message is read. No other thread of this process
    /// uses that descriptor number.
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
        let text = format!("OPEN {cookie}");
        self.messages.insert(cookie, message.id.0);
        Ok(text)
    }

    /// Answers all messages that are pending or arrive soon, and returns them. A refused answer is
    /// the result, except for messages delivered twice after a `restore` (`restored`).
    pub(super) fn turn(&mut self, starving: bool, restored: bool) -> Outcome {
        let there = PollFlags::IN | PollFlags::ERR | PollFlags::HUP;
        if !self.ready(TURN)?.intersects(there) && self.place.ours {
            return Ok(OK.to_owned());
        }
        let mut all = Vec::new();
        loop {
            let text = match self.read(MSG_MAX, false, None) {
                // An OPEN that was read, then put into the queue again by `restore`.
                Err(Failure::Errno(Error::EEXIST)) if restored => continue,
                text => text?,
            };
            let mut words = text.split(' ');
            let (what, object) = (words.next(), words.next().unwrap_or_default());
            match what {
                Some("OPEN") => self.answer_open(object, restored)?,
                Some("CLOSE") => drop(self.handles.remove(object)),
                Some("READ") if starving => drop(self.complete(object, None)?),
                Some("READ") => {
                    self.answer_read(object, words.next().unwrap_or_default(), restored)?;
                }
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

    fn answer_open(&mut self, object: &str, restored: bool) -> Outcome<()> {
        if self.blob(object).exists() {
            match self.copen(object, None) {
                // The OPEN ended in the meantime, so its descriptor is unused.
                Err(Failure::Errno(Error::EINVAL)) if restored => {
                    self.handles.remove(object);
                }
                answered => drop(answered?),
            }
        } else {
            self.handles.remove(object);
            let none = -Errno::NOENT.raw_os_error();
            self.copen(object, Some(none.to_string()))?;
        }
        Ok(())
    }

    /// Returns whether the object behind a descriptor has been dropped.
    fn has_gone(&self, object: &str) -> Outcome<bool> {
        let here = rustix::fs::seek(self.fd(object)?, rustix::fs::SeekFrom::Current(0));
        Ok(here == Err(Errno::NOBUFS))
    }

    fn answer_read(&mut self, object: &str, range: &str, restored: bool) -> Outcome<()> {
        let (offset, length) = range.split_once('+').context("no range")?;
        let (offset, length) = (
            offset.parse().context("the offset")?,
            length.parse().context("the length")?,
        );
        match self.pwrite(object, offset, length, Bytes::Blob) {
            // A READ delivered again by `restore` may outlive its object, whose descriptor then
            // refuses to seek as well. A cache without room refuses the write alone.
            Err(Failure::Errno(Error::ENOBUFS)) if restored && self.has_gone(object)? => {
                return Ok(())
            }
            written => drop(written?),
        }
        match self.complete(object, None) {
            // It was answered already, and put into the queue again by `restore`.
            Err(Failure::Errno(Error::EINVAL)) if restored => Ok(()),
            done => done.map(drop),
        }
    }
}

/// Joins the names of the flags that are set.
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
