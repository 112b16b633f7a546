// SPDX-License-Identifier: Apache-2.0 OR MIT

//! Guest programs by their names: `vmtest guest NAME JOB ANSWER`.
//!
//! JOB is a JSON file written by the host (or by another guest program). ANSWER is a JSON file,
//! written as the last step. Both are in a directory that host and guest share.

use std::fs;
use std::path::Path;

use anyhow::{bail, Context, Result};
use vmtest_wire::task::Task;

use super::{
    bench, conform, fanotify_handler, faults, flood, load_unload, misses, nydus, observe,
    on_demand, vfs_checks,
};

/// Runs the program `name`.
///
/// # Errors
/// No program has this name, or it could not do its job. Results of the driver under test are not
/// errors: they are in the file `answer`.
pub fn run(name: &str, job: &Path, answer: &Path) -> Result<()> {
    if name == conform::ACTOR {
        return conform::act();
    }
    let call = Call { name, job, answer };
    let done = None
        .or_else(|| call.runs_in(observe::run))
        .or_else(|| call.runs(vfs_checks::run))
        .or_else(|| call.runs(load_unload::run))
        .or_else(|| call.runs_in(nydus::run))
        .or_else(|| call.runs_in(on_demand::cache_states::run))
        .or_else(|| call.runs(misses::run))
        .or_else(|| call.runs(misses::work))
        .or_else(|| call.runs(conform::run))
        .or_else(|| call.runs(bench::run))
        .or_else(|| call.runs(faults::run))
        .or_else(|| call.runs(faults::fill))
        .or_else(|| call.runs(faults::density))
        .or_else(|| call.runs(flood::run))
        .or_else(|| call.runs(flood::part))
        .or_else(|| call.runs(fanotify_handler::handle))
        .or_else(|| call.runs(faults::serve));
    match done {
        Some(done) => done,
        None => bail!("no guest program has the name {name:?}"),
    }
}

/// Command line of a guest program: its name and the files of its job and its answer.
struct Call<'a> {
    name: &'a str,
    job: &'a Path,
    answer: &'a Path,
}

impl Call<'_> {
    /// Runs `program` if the name is that of the task `T`. None: it is not.
    fn runs<T: Task>(&self, program: fn(&T) -> Result<T::Answer>) -> Option<Result<()>> {
        (self.name == T::NAME).then(|| self.tell(&program(&self.read()?)?))
    }

    /// Runs `program` as [`Self::runs`] does, for a program that writes further files into the
    /// directory of its answer.
    fn runs_in<T: Task>(&self, program: fn(&T, &Path) -> Result<T::Answer>) -> Option<Result<()>> {
        (self.name == T::NAME).then(|| {
            let dir = self.answer.parent().context("ANSWER has no directory")?;
            self.tell(&program(&self.read()?, dir)?)
        })
    }

    fn read<T: Task>(&self) -> Result<T> {
        let (name, job) = (self.name, self.job.display());
        let text = fs::read(self.job).with_context(|| format!("{name}: cannot read {job}"))?;
        serde_json::from_slice(&text).with_context(|| format!("{job} is not a valid job of {name}"))
    }

    fn tell(&self, answer: &impl serde::Serialize) -> Result<()> {
        fs::write(self.answer, serde_json::to_vec(answer)?)
            .with_context(|| format!("cannot write {}", self.answer.display()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_task_of_the_host_has_a_program() {
        let nowhere = Path::new("/nonexistent/job");
        for name in vmtest_wire::task::NAMES {
            let error = run(name, nowhere, nowhere).unwrap_err().to_string();
            assert!(
                error.starts_with(&format!("{name}: cannot read")),
                "{error}"
            );
        }
        let error = run("sing", nowhere, nowhere).unwrap_err().to_string();
        assert!(error.contains("no guest program"), "{error}");
    }
}
