// SPDX-License-Identifier: Apache-2.0 OR MIT

//! The table that `conform` prints: a line for each scenario, then the failed scenarios, then the count.

use vmtest_wire::conform::step::Step;

use super::kernel_under_test::{Outcome, Side, Trouble};
use super::scenario::Scenario;
use super::Row;

/// The whole text.
pub(super) fn text(rows: &[Row], scenarios: &[Scenario], transcripts: bool) -> String {
    let width = rows.iter().map(|row| row.scenario.len()).max().unwrap_or(0);
    let mut text = format!("{:<width$}  oracle   ondine   covers\n", "scenario");
    for row in rows {
        let word = |outcome: &Option<Outcome>| outcome.as_ref().map_or("-", word);
        text.push_str(&format!(
            "{:<width$}  {:<7}  {:<7}  {}\n",
            row.scenario,
            word(&row.oracle),
            word(&row.ondine),
            row.covers,
        ));
        for reason in &row.differences {
            text.push_str(&format!("{:<width$}  ondine differs: {reason}\n", ""));
        }
    }
    for (row, scenario) in rows.iter().zip(scenarios) {
        for (side, outcome) in row.outcomes() {
            if transcripts || !outcome.holds() {
                text.push_str(&account(side, outcome, scenario));
            }
        }
    }
    for side in [Side::Oracle, Side::Ondine] {
        let all: Vec<&Outcome> = rows
            .iter()
            .flat_map(Row::outcomes)
            .filter_map(|(of, outcome)| (of == side).then_some(outcome))
            .collect();
        if !all.is_empty() {
            text.push_str(&count(side, &all));
        }
    }
    text
}

fn word(outcome: &Outcome) -> &'static str {
    match &outcome.trouble {
        Some(Trouble::LeftOut(_)) => "not run",
        Some(Trouble::Died(_)) => "DIED",
        Some(Trouble::Spoiled(_)) => "SPOILED",
        None if outcome.wrong.is_empty() => "ok",
        None => "DIFFERS",
    }
}

/// The steps of one scenario on `side` with their results, what was due where it is another, and what went
/// wrong beside.
pub(super) fn account(side: Side, outcome: &Outcome, scenario: &Scenario) -> String {
    let mut text = format!(
        "\n{} on {}: {}\n",
        scenario.name,
        side.as_str(),
        word(outcome)
    );
    let steps: &[Step] = &scenario.steps;
    for (n, (step, seen)) in steps.iter().zip(&outcome.results).enumerate() {
        let due = outcome.wrong.iter().find(|(wrong, _)| *wrong == n);
        match due {
            None => text.push_str(&format!("    {} -> {seen}\n", step.line)),
            Some((_, due)) => {
                text.push_str(&format!("  ! {} -> {seen}   (due: {due})\n", step.line));
            }
        }
    }
    if let Some(why) = outcome.trouble.as_ref().map(Trouble::why) {
        text.push_str(&format!("  {}\n", why.trim_end().replace('\n', "\n  ")));
    }
    text
}

fn count(side: Side, all: &[&Outcome]) -> String {
    let left_out = all
        .iter()
        .filter(|one| matches!(one.trouble, Some(Trouble::LeftOut(_))))
        .count();
    let hold = all.iter().filter(|one| one.holds()).count() - left_out;
    let seconds: f64 = all.iter().map(|one| one.seconds).sum();
    format!(
        "{}: {hold} hold, {} do not, {left_out} not run; {seconds:.0} s in guests\n",
        side.as_str(),
        all.len() - hold - left_out,
    )
}
