// SPDX-License-Identifier: Apache-2.0 OR MIT

//! Scenarios and the table of wanted differences, from the files of `vmtest/conform/`.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use anyhow::{bail, ensure, Context, Result};
use serde::de::DeserializeOwned;
use serde::Deserialize;

use ondine_model::protocol::Departure;

use super::step::Step;

/// The file of wanted differences.
const DIFFERENCES: &str = "differences.toml";

/// Something that the protocol promises, tried.
#[derive(Clone, Debug)]
pub(super) struct Scenario {
    /// Its name.
    pub(super) name: String,
    /// The row of the specification, or the bug of its section 8, that it is about.
    pub(super) covers: String,
    /// Why Linux 6.12 cannot play it: it hangs, or worse.
    pub(super) not_on_oracle: Option<String>,
    /// What is done, and what must come of it on the oracle.
    pub(super) steps: Vec<Step>,
    /// What ondine does otherwise, and wants to.
    pub(super) differences: Vec<Difference>,
}

/// A wanted difference of ondine: a row of the table.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Difference {
    scenario: String,
    /// Rows of the model's table that it shows.
    #[serde(default)]
    departures: Vec<Departure>,
    /// Which improvement of the issue it is, or why else.
    pub(super) reason: String,
    changes: Vec<Change>,
}

/// A step and ondine's result of it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Change {
    /// The step's line, without its result.
    step: String,
    /// Which one, when several steps have this line; counts from 1.
    #[serde(default = "first")]
    nth: usize,
    gives: String,
}

fn first() -> usize {
    1
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ScenarioFile {
    scenario: Vec<ScenarioText>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ScenarioText {
    name: String,
    covers: String,
    not_on_oracle: Option<String>,
    steps: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct DifferenceFile {
    #[serde(default)]
    difference: Vec<Difference>,
    #[serde(default)]
    elsewhere: Vec<Elsewhere>,
}

/// A row of the model's table that no difference shows.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Elsewhere {
    departure: Departure,
    /// What does show it.
    shown: String,
}

/// All scenarios of the directory, in the order of the files' names, with their differences.
///
/// # Errors
/// When a file cannot be read or understood, a name is there twice, or a difference is about
/// nothing.
pub(super) fn load(dir: &Path) -> Result<Vec<Scenario>> {
    let mut files: Vec<_> = fs::read_dir(dir)
        .and_then(|entries| entries.map(|e| Ok(e?.path())).collect::<Result<_, _>>())
        .with_context(|| format!("the scenarios in {}", dir.display()))?;
    files.retain(|path| path.extension().is_some_and(|end| end == "toml"));
    files.sort();
    let mut scenarios = Vec::new();
    let mut differences = Vec::new();
    for path in files {
        if path.ends_with(DIFFERENCES) {
            let file: DifferenceFile = read(&path)?;
            for row in &file.elsewhere {
                let shown = |one: &Difference| one.departures.contains(&row.departure);
                ensure!(
                    !row.shown.is_empty() && !file.difference.iter().any(shown),
                    "{DIFFERENCES}: {:?} is shown here, or nowhere",
                    row.departure
                );
            }
            differences = file.difference;
            continue;
        }
        for text in read::<ScenarioFile>(&path)?.scenario {
            let scenario = parse(text).with_context(|| path.display().to_string())?;
            scenarios.push(scenario);
        }
    }
    let names: BTreeSet<&str> = scenarios.iter().map(|s| s.name.as_str()).collect();
    ensure!(
        names.len() == scenarios.len(),
        "two scenarios have one name"
    );
    for difference in differences {
        let scenario = scenarios.iter_mut().find(|s| s.name == difference.scenario);
        let scenario = scenario
            .with_context(|| format!("{DIFFERENCES}: no scenario {}", difference.scenario))?;
        scenario
            .add(difference)
            .with_context(|| format!("{DIFFERENCES}: {}", scenario.name))?;
    }
    Ok(scenarios)
}

fn read<T: DeserializeOwned>(path: &Path) -> Result<T> {
    let text = fs::read_to_string(path)?;
    toml::from_str(&text).with_context(|| path.display().to_string())
}

fn parse(text: ScenarioText) -> Result<Scenario> {
    let steps = Step::all(&text.steps).with_context(|| format!("scenario {}", text.name))?;
    Ok(Scenario {
        name: text.name,
        covers: text.covers,
        not_on_oracle: text.not_on_oracle,
        steps,
        differences: Vec::new(),
    })
}

impl Scenario {
    /// The steps with ondine's results in place of the oracle's.
    pub(super) fn ondines_steps(&self) -> Vec<Step> {
        let mut steps = self.steps.clone();
        for change in self.differences.iter().flat_map(|d| &d.changes) {
            if let Some(at) = change.place(&steps) {
                steps[at].expected = change.gives.clone();
            }
        }
        steps
    }

    fn add(&mut self, difference: Difference) -> Result<()> {
        for change in &difference.changes {
            let Some(at) = change.place(&self.steps) else {
                bail!("no step {:?} (number {})", change.step, change.nth);
            };
            ensure!(
                self.steps[at].expected != change.gives,
                "{:?} gives {} on both sides",
                change.step,
                change.gives
            );
        }
        self.differences.push(difference);
        Ok(())
    }
}

impl Change {
    fn place(&self, steps: &[Step]) -> Option<usize> {
        let same = |(at, step): (usize, &Step)| (step.line == self.step).then_some(at);
        steps
            .iter()
            .enumerate()
            .filter_map(same)
            .nth(self.nth.checked_sub(1)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scenarios(files: &[(&str, &str)]) -> Result<Vec<Scenario>> {
        let dir = tempfile::tempdir().unwrap();
        for (name, text) in files {
            fs::write(dir.path().join(name), text).unwrap();
        }
        load(dir.path())
    }

    const ONE: &str = "[[scenario]]\nname = 'a'\ncovers = '1'\nsteps = '''\nopen\npoll -> quiet\npoll -> IN\n'''\n";

    #[test]
    fn a_difference_changes_ondines_result_alone() {
        let row = "[[difference]]\nscenario = 'a'\nreason = '(g)'\nchanges = [{ step = 'poll', nth = 2, gives = 'HUP' }]";
        let all = scenarios(&[("1.toml", ONE), ("differences.toml", row)]).unwrap();
        let results = |steps: &[Step]| -> Vec<String> {
            steps.iter().map(|step| step.expected.clone()).collect()
        };
        assert_eq!(results(&all[0].steps), ["ok", "quiet", "IN"]);
        assert_eq!(results(&all[0].ondines_steps()), ["ok", "quiet", "HUP"]);
    }

    #[test]
    fn a_difference_about_nothing_is_a_mistake() {
        for (row, said) in [
            ("scenario = 'b'\nreason = ''\nchanges = []", "no scenario b"),
            (
                "scenario = 'a'\nreason = ''\nchanges = [{ step = 'poll', nth = 3, gives = 'IN' }]",
                "no step \"poll\" (number 3)",
            ),
            (
                "scenario = 'a'\nreason = ''\nchanges = [{ step = 'open', gives = 'ok' }]",
                "on both sides",
            ),
        ] {
            let text = format!("[[difference]]\n{row}");
            let error = scenarios(&[("1.toml", ONE), ("differences.toml", &text)]).unwrap_err();
            assert!(format!("{error:#}").contains(said), "{error:#}");
        }
    }

    #[test]
    fn names_are_unique_and_keys_known() {
        assert!(scenarios(&[("1.toml", ONE), ("2.toml", ONE)]).is_err());
        assert!(scenarios(&[("1.toml", &ONE.replace("covers", "cover"))]).is_err());
    }

    #[test]
    fn the_repositorys_scenarios_are_read() {
        let all = load(&Path::new(env!("CARGO_MANIFEST_DIR")).join("conform")).unwrap();
        assert!(all.len() >= 60, "{} scenarios", all.len());
    }

    #[test]
    fn the_models_table_of_differences_is_this_one() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("conform");
        let file: DifferenceFile = read(&path.join(DIFFERENCES)).unwrap();
        let shown = file.difference.iter().flat_map(|one| &one.departures);
        let elsewhere = file.elsewhere.iter().map(|one| &one.departure);
        let named: BTreeSet<_> = shown.chain(elsewhere).collect();
        for departure in Departure::ALL {
            assert!(named.contains(departure), "nothing shows {departure:?}");
        }
    }
}
