//! Receipts: how an answer is, or would be, made, for people and for programs.

use super::ALPHA;
use crate::accounting::Charge;
use crate::algebra::{Bounds, Clamp, Measure, Output};
use crate::engine::Confidence;
use crate::mechanism::Calibrated;
use crate::proto::{NoisyColumn, Price, ReleaseNote};
use crate::sql::{OutputColumn, OutputNoise};

pub fn price_message(charge: &Charge) -> Price {
    Price {
        epsilon: charge.epsilon.map(|e| e.to_string()).unwrap_or_default(),
        rho: charge.rho.to_string(),
        delta: charge.delta.to_string(),
    }
}

/// One note per release.
pub fn releases(releases: &[Calibrated]) -> Vec<ReleaseNote> {
    let note = |made: &Calibrated| {
        ReleaseNote {
        max_groups_contributed: made.contribution.groups,
        max_rows_contributed: made.contribution.rows,
        keys: match made.release.keys.len() {
            0 => "no keys: one row".into(),
            _ => "public keys: every combination of their declared values, empty groups too; rows with other values are in no group".into(),
        },
        groups: made.cells,
        price: Some(price_message(&made.charge)),
    }
    };
    releases.iter().map(note).collect()
}

/// One entry per noisy column of the answer.
pub fn columns(columns: &[OutputColumn], releases: &[Calibrated]) -> Vec<NoisyColumn> {
    let confidence = Confidence::new(ALPHA, releases);
    columns.iter().filter_map(|column| noisy_column(column, releases, confidence)).collect()
}

fn noisy_column(column: &OutputColumn, releases: &[Calibrated], confidence: Confidence) -> Option<NoisyColumn> {
    let alpha = if column.simultaneous { confidence.all } else { confidence.own };
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
                    NoisyColumn {
                        mechanism: noise.name().into(),
                        noise_scale: noise.scale() * step,
                        half_width: noise.half_width(alpha) * step,
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
