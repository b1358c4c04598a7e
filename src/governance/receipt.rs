//! Receipts: how an answer is, or would be, made, for people and for programs.

use super::{ALPHA, Names, OpenRelease, Priced, Why};
use crate::accounting::Charge;
use crate::algebra::{Bounds, Clamp, Contribution, Family, Key, Measure, Output, Probe, Quantity};
use crate::engine::Confidence;
use crate::mechanism::{Calibrated, Noise, Selection, UNIT_WEIGHT};
use crate::proto::{ChosenBound, NoisyColumn, NoisyNumber, Price, ReleaseKey, ReleaseNote};
use crate::sql::{OutputColumn, OutputNoise};

pub fn price_message(charge: &Charge, priced: &Priced) -> Price {
    let in_force = Charge { epsilon: charge.epsilon.filter(|_| !priced.pure_is_over), ..*charge };
    Price {
        epsilon: charge.epsilon.map(|e| e.to_string()).unwrap_or_default(),
        rho: charge.rho.to_string(),
        delta: charge.delta.to_string(),
        odds_factor: charge.epsilon.map_or(0.0, |epsilon| epsilon.to_f64().exp()),
        part_of_grant: priced.grant.part(in_force),
    }
}

/// One note per release.
pub fn releases(priced: &Priced, names: &Names) -> Vec<ReleaseNote> {
    (0..priced.releases.len()).map(|at| note(at, priced, names)).collect()
}

fn note(at: usize, priced: &Priced, names: &Names) -> ReleaseNote {
    let (made, why) = (&priced.releases[at], priced.reasons[at]);
    let mut numbers: Vec<NoisyNumber> = (0..made.noise.len()).map(|measure| number(measure, made, names)).collect();
    if priced.is_unsettled(at) {
        let unknown = |n: NoisyNumber| NoisyNumber { noise_scale: 0.0, half_width: 0.0, lower: 0.0, upper: 0.0, ..n };
        numbers = numbers.into_iter().map(unknown).collect();
    }
    let key_columns: Vec<ReleaseKey> = made.release.keys.iter().map(|key| key_column(key, made, names)).collect();
    let is_found_out = |probe| {
        let lacks = |open: &OpenRelease| open.lacking().any(|(lacking, _)| lacking == probe);
        priced.is_unsettled(at) && priced.open[at].as_ref().is_some_and(lacks)
    };
    ReleaseNote {
        summary: summary(at, priced, &key_columns, &numbers),
        chosen: chosen(at, priced, names),
        key_columns,
        numbers,
        max_rows_in_all_groups: made.contribution.total.unwrap_or(0),
        max_groups_contributed: if is_found_out(Probe::Groups) { 0 } else { made.contribution.groups },
        max_rows_contributed: if is_found_out(Probe::Rows) { 0 } else { made.contribution.rows },
        keys: keys(made),
        groups: made.cells.unwrap_or(0),
        threshold: match made.selection {
            Selection::Threshold { threshold, .. } => threshold as u64,
            Selection::Public | Selection::Shown { .. } | Selection::KeysOnly { .. } | Selection::Weighted { .. } => 0,
        },
        price: Some(price_message(&made.charge, priced)),
        choice: choice(why),
    }
}

/// The bounds that a release finds, or has found.
fn chosen(at: usize, priced: &Priced, names: &Names) -> Vec<ChosenBound> {
    // As it was asked for: the noise may be of fewer numbers.
    let (release, unit) = (&names.query.releases[at], &names.dataset.privacy_unit);
    let open = priced.open[at].iter().flat_map(|open| open.lacking());
    let note = |(probe, cost): (Probe, Option<Charge>)| {
        let found = priced.chosen[at].iter().find(|chosen| chosen.of == probe);
        ChosenBound {
            what: match probe {
                Probe::Groups => format!("groups of {unit}"),
                Probe::Rows => format!("rows of {unit} in a group"),
                Probe::Totals(measure) => {
                    format!("{} of {unit} in a group", names.total(&release.measures[measure], release))
                }
            },
            lower: found.map_or(0.0, |found| found.bounds.low),
            upper: found.map_or(0.0, |found| found.bounds.high),
            cut_off: found.map_or(0.0, |found| found.cut_off),
            known: found.is_some(),
            found_by_governance: priced.open[at]
                .iter()
                .flat_map(|open| &open.bought)
                .any(|bought| bought.probe == probe),
            price: cost.map(|charge| price_message(&charge, priced)),
        }
    };
    open.map(note).collect()
}

/// A chosen bound in words.
pub fn bound_in_words(bound: &ChosenBound) -> String {
    let ChosenBound { what, lower, upper, cut_off, known, found_by_governance, .. } = bound;
    let is_number = ["groups of ", "rows of "].iter().any(|number| what.starts_with(number));
    match (known, is_number) {
        (false, _) if *found_by_governance => {
            format!(
                "{what}: found out by governance already, and shown once it is paid for, by a part of the question's price"
            )
        }
        (false, _) => format!("{what}: found out by the question, for a part of its price"),
        (true, true) => format!(
            "{what}: at most {upper}, as found out; about {:.1} % of contributions are cut off",
            cut_off * 100.0
        ),
        (true, false) => {
            format!("{what}: within [{lower}, {upper}], as found out; about {:.1} % of it is cut off", cut_off * 100.0)
        }
    }
}

fn other(family: Family) -> Family {
    match family {
        Family::Laplace => Family::Gaussian,
        Family::Gaussian => Family::Laplace,
    }
}

/// Why a release has its noise, in words.
fn choice(why: Why) -> String {
    let name = |family| match family {
        Family::Laplace => "Laplace",
        Family::Gaussian => "Gaussian",
    };
    match why {
        Why::Asked(family) => format!("{} noise, as the question or the dataset's policy asks", name(family)),
        Why::NoDelta => "Laplace noise: the grant has no delta, which Gaussian noise needs".into(),
        Why::Keys => "keys alone: of the two rules for them, the one that shows a key of fewer units".into(),
        Why::Open(family) => format!("{} noise: chosen before the bounds are", name(family)),
        Why::Least(family, ratio) => {
            let other = name(other(family));
            format!(
                "{} noise: for as much of the grant {other} noise would have {ratio:.2} times the variance",
                name(family)
            )
        }
        Why::Cheapest(family, ratio) => {
            let other = name(other(family));
            format!(
                "{} noise: for the same error {other} noise would take {ratio:.2} times as much of the grant",
                name(family)
            )
        }
    }
}

fn key_column(key: &Key, made: &Calibrated, names: &Names) -> ReleaseKey {
    ReleaseKey {
        expression: names.expr(&key.expr, &made.release.input),
        public: key.domain.is_some(),
        values: key.domain.as_ref().map_or(0, |domain| domain.len() as u64),
    }
}

fn number(measure: usize, made: &Calibrated, names: &Names) -> NoisyNumber {
    let (noise, clamp) = (&made.noise[measure], &made.clamps[measure]);
    // A choice is off by ranks, between the ends of its lattice.
    let (step, low, high) = match noise {
        Noise::Exponential(_) | Noise::Tree(_) => (1.0, clamp.row_low.into(), clamp.row_high.into()),
        Noise::Laplace { .. } | Noise::Gaussian { .. } | Noise::Histogram { .. } | Noise::Mean(_) => {
            (clamp.lattice.step(), clamp.unit_low, clamp.unit_high)
        }
    };
    NoisyNumber {
        quantity: names.quantity(&made.release.measures[measure], &made.release),
        mechanism: noise.name().into(),
        noise_scale: noise.scale() * step,
        half_width: noise.half_width(ALPHA) * step,
        lower: clamp.lattice.value(low),
        upper: clamp.lattice.value(high),
        share: made.shares.get(measure).copied().unwrap_or(1.0),
        draws: if let Noise::Mean(mean) = noise { mean.draws().count() as u64 } else { 1 },
    }
}

/// A release in words.
fn summary(at: usize, priced: &Priced, keys: &[ReleaseKey], numbers: &[NoisyNumber]) -> String {
    let made = &priced.releases[at];
    let groups = match (keys, made.cells) {
        ([], _) => "one row".to_owned(),
        (keys, cells) => {
            let by = keys.iter().map(|key| key.expression.as_str()).collect::<Vec<_>>().join(", ");
            match cells {
                Some(cells) => format!("{cells} groups by {by}, all shown"),
                None => format!("groups by {by}, shown where enough units have them"),
            }
        }
    };
    let numbers: Vec<String> = numbers.iter().map(number_in_words).collect();
    let Contribution { groups: most, rows, total } = made.contribution;
    let limits = match (keys.is_empty(), total) {
        _ if priced.is_unsettled(at) => "limits that nobody declared are found out first".to_owned(),
        (_, Some(total)) => format!("each unit has at most {total} rows in all"),
        (true, None) => format!("each unit has at most {rows} rows"),
        (false, None) => format!("each unit is in at most {most} groups with at most {rows} rows in each"),
    };
    let consistent = match made.release.terms.consistent {
        true => vec!["counts of rows and sums are made to add up, by least squares; where limits cut off more of totals than of parts, the difference is shared".to_owned()],
        false => vec![],
    };
    let parts = [vec![format!("release {}: {groups}", at + 1)], numbers, vec![limits], consistent].concat();
    parts.join("; ")
}

/// A noisy number with its noise.
pub fn number_in_words(number: &NoisyNumber) -> String {
    let NoisyNumber { quantity, mechanism, noise_scale, half_width, lower, upper, share, draws } = number;
    let percent = 100.0 * (1.0 - ALPHA);
    let [noise_scale, half_width] = [noise_scale, half_width].map(|number| (number * 1e4).round() / 1e4);
    let share = if *share < 1.0 { format!("; {:.0} % of the price", share * 100.0) } else { String::new() };
    let said = match mechanism.as_str() {
        _ if noise_scale == 0.0 && lower == upper => {
            format!("{quantity}: {mechanism}, whose scale follows from limits that are found out first")
        }
        Noise::EXPONENTIAL => format!(
            "{quantity}, numbered within [{lower}, {upper}]: by the {mechanism}, whose probability falls e-fold with each {noise_scale} rows, within {half_width} rows of the exact rank or count {percent:.0} % of the time"
        ),
        tree if Noise::TREES.contains(&tree) => format!(
            "{quantity}, within [{lower}, {upper}]: from a {tree} with noise of scale {noise_scale} in each, within {half_width} rows of the exact rank {percent:.0} % of the time"
        ),
        Noise::MEAN => format!(
            "{quantity}, of which one unit adds within [{lower}, {upper}] to a group: the mean of {draws} discrete draws, of standard deviation {noise_scale}, within {half_width} of the exact one {percent:.0} % of the time"
        ),
        added => format!(
            "{quantity}, of which one unit adds within [{lower}, {upper}] to a group: {added} noise of scale {noise_scale}, within {half_width} of the exact one {percent:.0} % of the time"
        ),
    };
    said + &share
}

/// How the keys are made public, in words.
fn keys(made: &Calibrated) -> String {
    match &made.selection {
        Selection::Public if made.release.keys.is_empty() => "no keys: one row".into(),
        Selection::Public => "public keys: every combination of their declared values, empty groups too; rows with other values are in no group".into(),
        Selection::Shown { keys } => {
            format!("private keys: the {} groups that are shown already", keys.first().map_or(0, |key| key.len()))
        }
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
pub fn columns(columns: &[OutputColumn], priced: &Priced) -> Vec<NoisyColumn> {
    let noted = |column: &OutputColumn| {
        let noted = noisy_column(column, &priced.releases)?;
        let unsettled = matches!(column.noise, OutputNoise::Output(release, _) if priced.is_unsettled(release));
        Some(match unsettled {
            true => NoisyColumn {
                noise_scale: 0.0,
                half_width: 0.0,
                bounds: "limits that are found out first".into(),
                ..noted
            },
            false => noted,
        })
    };
    columns.iter().filter_map(noted).collect()
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
                        _ if selected || made.release.terms.consistent => None,
                        (false, _) => Some(ALPHA),
                        (true, cells) => cells.map(|cells| Confidence::new(ALPHA, releases, made, cells).all),
                    };
                    NoisyColumn {
                        mechanism: noise.name().into(),
                        noise_scale: noise.scale() * step,
                        half_width: alpha.map_or(0.0, |alpha| noise.half_width(alpha) * step),
                        bounds: bounds(&made.release.measures[*measure], &made.clamps[*measure], made.contribution),
                        ..blank
                    }
                }
                Output::Logical { count, .. } => NoisyColumn {
                    mechanism: format!("whether a {} count is above 0", made.noise[*count].name()),
                    bounds: bounds(&made.release.measures[*count], &made.clamps[*count], made.contribution),
                    ..blank
                },
                Output::Quantile { value: choice, .. }
                | Output::Mode { choice, .. }
                | Output::Histogram { counts: choice, .. } => NoisyColumn {
                    mechanism: made.noise[*choice].name().into(),
                    bounds: bounds(&made.release.measures[*choice], &made.clamps[*choice], made.contribution),
                    ..blank
                },
                Output::Mean { sum, .. } => NoisyColumn {
                    mechanism: match made.noise[*sum].name() {
                        Noise::MEAN => format!("ratio of a sum and a count, each the {}", Noise::MEAN),
                        name => format!("ratio of a {name} sum and count"),
                    },
                    bounds: bounds(&made.release.measures[*sum], &made.clamps[*sum], made.contribution),
                    ..blank
                },
                Output::Statistic { count, sums, .. } => {
                    let limits =
                        |sum: &usize| bounds(&made.release.measures[*sum], &made.clamps[*sum], made.contribution);
                    NoisyColumn {
                        mechanism: format!(
                            "from a {} count and {} centred sums",
                            made.noise[*count].name(),
                            sums.len()
                        ),
                        bounds: sums.first().map_or(String::new(), limits),
                        ..blank
                    }
                }
            })
        }
    }
}

/// The limits on one unit's contribution, in words.
fn bounds(measure: &Measure, clamp: &Clamp, Contribution { rows, total, .. }: Contribution) -> String {
    let each = |bounds: &Option<Bounds>| {
        bounds.map_or(String::new(), |Bounds { low, high }| format!("each row within [{low}, {high}], "))
    };
    let (low, high) = (clamp.lattice.value(clamp.unit_low), clamp.lattice.value(clamp.unit_high));
    let of_group = match (&measure.of, measure.per_group) {
        (Quantity::Rows, None) => format!("rows per unit and group: at most {rows}"),
        (Quantity::NonNull(_), None) => format!("values per unit and group: at most {rows}"),
        (Quantity::Rows, Some(_)) => format!("rows per unit and group: within [{low}, {high}]"),
        (Quantity::NonNull(_), Some(_)) => format!("values per unit and group: within [{low}, {high}]"),
        (Quantity::Distinct(_), _) => format!("distinct values per unit and group: at most {rows}"),
        (Quantity::Mode { .. } | Quantity::Histogram { .. }, _) => format!("values per unit and group: at most {rows}"),
        (Quantity::Quantile { bounds, .. } | Quantity::Ranks { bounds, .. }, _) => {
            let most = measure.of.most_values(rows);
            format!("{}values per unit and group: at most {most}", each(&Some(*bounds)))
        }
        (Quantity::Units, _) => "each unit once per group".into(),
        (Quantity::Sum { bounds, centred: false, .. }, _) => {
            format!("{}each unit's sum per group within [{low}, {high}]", each(bounds))
        }
        (Quantity::Sum { bounds, centred: true, .. }, per_group) => {
            let mean = per_group.map_or(String::new(), |Bounds { low, high }| {
                format!("each unit's mean per group within [{low}, {high}], ")
            });
            format!("{}{mean}rows' weight per unit and group: at most {rows}", each(bounds))
        }
    };
    match total {
        Some(total) => format!("{of_group}; rows per unit in all groups together: at most {total}"),
        None => of_group,
    }
}
