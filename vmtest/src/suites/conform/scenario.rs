// SPDX-License-Identifier: Apache-2.0 OR MIT

//! Scenarios and the table of wanted differences, from the files of `vmtest/conform/`.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use anyhow::{bail, ensure, Context, Result};
use serde::de::DeserializeOwned;
use serde::Deserialize;

use ondine_model::protocol::Departure;
use vmtest_wire::conform::step::Step;
use vmtest_wire::disk::DiskFs;

/// The file of wanted differences.
const DIFFERENCES: &str = "differences.toml";

/// A test of one promise of the protocol.
#[derive(Clone, Debug)]
pub(super) struct Scenario {
    /// Its name.
    pub(super) name: String,
    /// The rule or bug of `docs/spec/cachefiles-ondemand.md` that the scenario tests.
    pub(super) covers: String,
    /// Why Linux 6.12 cannot play it: it hangs, or worse.
    pub(super) not_on_oracle: Option<String>,
    /// Steps with their expected results on the oracle.
    pub(super) steps: Vec<Step>,
    /// Intended differences of ondine from the oracle.
    pub(super) differences: Vec<Difference>,
}

/// A wanted difference of ondine: a row of the table.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Difference {
    scenario: String,
    /// The file system of the caches that alone causes it.
    #[serde(default)]
    disk: Option<DiskFs>,
    /// Rows of the model's table that it shows.
    #[serde(default)]
    departures: Vec<Departure>,
    /// Reason for the difference.
    pub(super) reason: String,
    changes: Vec<Change>,
}

/// A step and ondine's result of it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Change {
    /// The step's line, without its result.
    step: String,
    /// Number of the step among those with this line, from 1.
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
    /// The scenario that shows it.
    scenario: Option<String>,
    /// Or the test: the path of its file in the repository, `::`, its function.
    test: Option<String>,
    /// Why no difference does.
    reason: String,
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
    let mut elsewhere = Vec::new();
    for path in files {
        if path.ends_with(DIFFERENCES) {
            let file: DifferenceFile = read(&path)?;
            for row in &file.elsewhere {
                let shown = |one: &Difference| one.departures.contains(&row.departure);
                ensure!(
                    !row.reason.is_empty() && !file.difference.iter().any(shown),
                    "{DIFFERENCES}: {:?} is shown by a difference, or says not why it is not",
                    row.departure
                );
            }
            differences = file.difference;
            elsewhere = file.elsewhere;
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
    for row in &elsewhere {
        let departure = row.departure;
        match (&row.scenario, &row.test) {
            (Some(name), None) => ensure!(
                names.contains(name.as_str()),
                "{DIFFERENCES}: {departure:?} is shown by no scenario {name}"
            ),
            (None, Some(_)) => {}
            _ => bail!("{DIFFERENCES}: {departure:?} takes either a scenario or a test"),
        }
    }
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
    /// The steps with ondine's results, for caches on `disk`, in place of the oracle's.
    pub(super) fn ondines_steps(&self, disk: DiskFs) -> Vec<Step> {
        let mut steps = self.steps.clone();
        let here = |d: &&Difference| d.disk.is_none_or(|fs| fs == disk);
        for change in self
            .differences
            .iter()
            .filter(here)
            .flat_map(|d| &d.changes)
        {
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
        assert_eq!(
            results(&all[0].ondines_steps(DiskFs::Ext4)),
            ["ok", "quiet", "HUP"]
        );
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
        let repository = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        for row in &file.elsewhere {
            if let Some(test) = &row.test {
                assert!(is_test(&repository, test), "there is no test {test}");
            }
        }
    }

    /// True if `PATH::FUNCTION` is a test of the repository.
    fn is_test(repository: &Path, test: &str) -> bool {
        let Some((path, function)) = test.split_once("::") else {
            return false;
        };
        let text = fs::read_to_string(repository.join(path)).unwrap_or_default();
        let lines: Vec<&str> = text.lines().map(str::trim).collect();
        let head = format!("fn {function}(");
        let marked = |pair: &[&str]| pair[0] == "#[test]" && pair[1].starts_with(&head);
        lines.windows(2).any(marked)
    }

    #[test]
    fn a_departure_is_shown_by_a_scenario_that_exists() {
        let row = |by: &str| {
            let row = format!("[[elsewhere]]\ndeparture = 'late-size'\n{by}\nreason = 'r'");
            scenarios(&[("1.toml", ONE), ("differences.toml", &row)])
        };
        assert!(row("scenario = 'a'").is_ok());
        let error = row("scenario = 'b'").unwrap_err();
        assert!(format!("{error:#}").contains("no scenario b"), "{error:#}");
        assert!(row("shown = 'somewhere'").is_err());
        assert!(row("").is_err());
        let repository = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let here = "vmtest/src/conform/scenario.rs";
        assert!(!is_test(&repository, &format!("{here}::is_test")));
        assert!(!is_test(&repository, here));
    }
}
