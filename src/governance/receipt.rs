//! Receipts: how an answer is, or would be, made, for people and for programs.

use super::ALPHA;
use crate::accounting::Charge;
use crate::algebra::{Bounds, Clamp, Measure, Output};
use crate::engine::Confidence;
use crate::mechanism::{Calibrated, Selection, UNIT_WEIGHT};
use crate::proto::{NoisyColumn, Price, ReleaseNote};
use crate::sql::{OutputColumn, OutputNoise};

pub fn price_message(charge: &Charge) -> Price {
    Price {
        epsilon: charge.epsilon.map(|e| e.to_string()).unwrap_or_default(),
        rho: charge.rho.to_string(),
        delta: charge.delta.to_string(),
        odds_factor: charge.epsilon.map_or(0.0, |epsilon| epsilon.to_f64().exp()),
    }
}

/// One note per release.
pub fn releases(releases: &[Calibrated]) -> Vec<ReleaseNote> {
    let note = |made: &Calibrated| ReleaseNote {
        max_groups_contributed: made.contribution.groups,
        max_rows_contributed: made.contribution.rows,
        keys: keys(made),
        groups: made.cells.unwrap_or(0),
        threshold: match made.selection {
            Selection::Threshold { threshold, .. } => threshold as u64,
            Selection::Public | Selection::KeysOnly { .. } | Selection::Weighted { .. } => 0,
        },
        price: Some(price_message(&made.charge)),
    };
    releases.iter().map(note).collect()
}

/// How the keys are made public, in words.
fn keys(made: &Calibrated) -> String {
    match &made.selection {
        Selection::Public if made.release.keys.is_empty() => "no keys: one row".into(),
        Selection::Public => "public keys: every combination of their declared values, empty groups too; rows with other values are in no group".into(),
        Selection::Threshold { threshold, .. } => {
            format!("private keys: a group is shown where its noisy number of distinct units is at least {threshold}")
        }
        Selection::Weighted { threshold } => format!(
            "private keys, and nothing but keys: each unit weighs 1, spread over its keys, and a group is shown where its noisy weight is at least {:.1}",
            *threshold as f64 / UNIT_WEIGHT as f64
        ),
        Selection::KeysOnly { keep } => format!(
            "private keys, and nothing but keys: a group is shown with a probability that grows with its number of distinct units, surely from {} on",
            keep.len() + 1
        ),
    }
}

/// One entry per noisy column of the answer.
pub fn columns(columns: &[OutputColumn], releases: &[Calibrated]) -> Vec<NoisyColumn> {
    columns.iter().filter_map(|column| noisy_column(column, releases)).collect()
}

fn noisy_column(column: &OutputColumn, releases: &[Calibrated]) -> Option<NoisyColumn> {
    let blank = NoisyColumn {
        name: column.name.clone(),
        has_interval: column.interval.is_some(),
        simultaneous: column.simultaneous,
        ..NoisyColumn::default()
    };
    match column.noise {
        OutputNoise::Exact => None,
        OutputNoise::Derived => Some(NoisyColumn { mechanism: "post-processing of noisy values".into(), ..blank }),
        OutputNoise::Output(release, output) => {
            let made = releases.get(release)?;
            Some(match made.release.outputs.get(output)? {
                Output::Count(measure) | Output::Sum { sum: measure, .. } => {
                    let (noise, step) = (&made.noise[*measure], made.clamps[*measure].lattice.step());
                    let selected = matches!(made.selection, Selection::Threshold { measure: by, .. } if by == *measure);
                    // Where it differs by row, or is not known before the number of groups is, there is none to tell.
                    let alpha = match (column.simultaneous, made.cells) {
                        _ if selected => None,
                        (false, _) => Some(ALPHA),
                        (true, cells) => cells.map(|cells| Confidence::new(ALPHA, releases, made, cells).all),
                    };
                    NoisyColumn {
                        mechanism: noise.name().into(),
                        noise_scale: noise.scale() * step,
                        half_width: alpha.map_or(0.0, |alpha| noise.half_width(alpha) * step),
                        bounds: bounds(
                            &made.release.measures[*measure],
                            &made.clamps[*measure],
                            made.contribution.rows,
                        ),
                        ..blank
                    }
                }
                Output::Mean { sum, .. } => NoisyColumn {
                    mechanism: format!("ratio of a {} sum and count", made.noise[*sum].name()),
                    bounds: bounds(&made.release.measures[*sum], &made.clamps[*sum], made.contribution.rows),
                    ..blank
                },
            })
        }
    }
}

/// The limits on one unit's contribution to one group, in words.
fn bounds(measure: &Measure, clamp: &Clamp, rows: u64) -> String {
    match measure {
        Measure::Rows => format!("rows per unit and group: at most {rows}"),
        Measure::NonNull(_) => format!("values per unit and group: at most {rows}"),
        Measure::Units => "each unit once per group".into(),
        Measure::Sum { bounds: Bounds { low, high }, centred: false, .. } => format!(
            "each row within [{low}, {high}], each unit's sum per group within [{}, {}]",
            clamp.lattice.value(clamp.unit_low),
            clamp.lattice.value(clamp.unit_high)
        ),
        Measure::Sum { bounds: Bounds { low, high }, centred: true, .. } => {
            format!("each row within [{low}, {high}], rows' weight per unit and group: at most {rows}")
        }
    }
}
