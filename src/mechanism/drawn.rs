//! What was drawn for one release, kept so that more draws can be added to it.

use super::noise::Counted;
use super::{Calibrated, Detail, Mean, Noise, Released};
use arrow::array::ArrayRef;
use serde::{Deserialize, Serialize};

/// All draws of one release's numbers. They are of the same exact numbers, at the same keys.
#[derive(Clone, Debug, PartialEq)]
pub struct Drawn {
    /// Where keys were private: those that are shown.
    pub keys: Vec<ArrayRef>,
    pub cells: usize,
    pub draws: Vec<Draw>,
}

/// One draw: `noise[measure]` in `columns[measure][cell]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Draw {
    noise: Vec<Counted>,
    columns: Vec<Vec<i128>>,
}

impl Draw {
    /// None where a number is not made by adding noise to it.
    fn of(made: &Calibrated, released: &Released) -> Option<Draw> {
        let noise = made.noise.iter().map(|noise| Counted::new(noise.clone())).collect::<Option<_>>()?;
        Some(Draw { noise, columns: released.columns.clone() })
    }
}

impl Drawn {
    /// None where a number is not made by adding noise to it, or where there are none: then no second draw can be added.
    pub fn first(made: &Calibrated, released: &Released) -> Option<Drawn> {
        let Released { keys, cells, .. } = released;
        let drawn = Drawn { keys: keys.clone(), cells: *cells, draws: vec![Draw::of(made, released)?] };
        (!made.release.outputs.is_empty()).then_some(drawn)
    }

    /// None where the other draw is not of the same numbers.
    pub fn and(&self, made: &Calibrated, released: &Released) -> Option<Drawn> {
        let draws = self.draws.iter().cloned().chain([Draw::of(made, released)?]).collect();
        let shape = |columns: &Vec<Vec<i128>>| columns.iter().map(Vec::len).collect::<Vec<_>>();
        let is_alike = self.draws.iter().all(|draw| shape(&draw.columns) == shape(&released.columns));
        is_alike.then(|| Drawn { draws, ..self.clone() })
    }

    /// The noises of each measure's draws.
    pub fn noises(&self) -> Vec<Vec<Noise>> {
        let measures = self.draws.first().map_or(0, |draw| draw.noise.len());
        (0..measures)
            .map(|at| self.draws.iter().filter_map(|draw| draw.noise.get(at)).map(Counted::noise).collect())
            .collect()
    }

    /// The first draw alone.
    pub fn of_first(&self) -> Released {
        let columns = self.draws.first().map_or(vec![], |draw| draw.columns.clone());
        self.released(columns)
    }

    /// The mean of each number's draws, or the one draw.
    pub fn together(&self) -> Released {
        let column = |(at, noises): (usize, Vec<Noise>)| {
            let mean = Mean::new(&noises);
            let number = |cell: usize| {
                let mut drawn = self.draws.iter().map(|draw| draw.columns[at][cell]);
                match &mean {
                    Some(mean) if self.draws.len() > 1 => mean.of(drawn),
                    _ => drawn.next().unwrap_or(0),
                }
            };
            (0..self.cells).map(number).collect()
        };
        self.released(self.noises().into_iter().enumerate().map(column).collect())
    }

    fn released(&self, columns: Vec<Vec<i128>>) -> Released {
        let details = vec![Detail::Nothing; columns.len()];
        Released { keys: self.keys.clone(), cells: self.cells, columns, details }
    }
}
