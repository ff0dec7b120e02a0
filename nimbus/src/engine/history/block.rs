//! Points that are over, packed column by column.
//!
//! What a component does changes little within two minutes, so the numbers of a column are written as what
//! they are above the least of them, in as many bits as the greatest needs ("frame of reference";
//! Goldstein, Ramakrishnan and Shaft, "Compressing Relations and Indexes", 1998). Points of a steady
//! topology take half of their room so, and in the worst case a block is a fortieth larger than its points.

use super::ring::{COLUMNS, Packed};

/// How many points a block has.
pub(super) const BLOCK: usize = 120;

/// So many points, packed.
#[derive(Clone, Debug)]
pub(super) struct Block(Box<[u8]>);

impl Block {
    /// Packs the points of a block.
    pub(super) fn of(points: &[Packed]) -> Self {
        // A gap has no numbers: those of the point before take its room, and do not widen the columns.
        let mut last = points.iter().find(|it| !it.is_gap()).map_or([0; COLUMNS], Packed::columns);
        let rows: Vec<[u16; COLUMNS]> = points
            .iter()
            .map(|point| {
                if !point.is_gap() {
                    last = point.columns();
                }
                last
            })
            .collect();
        let mut bytes = Vec::new();
        write(&mut bytes, points.iter().map(|point| u16::from(point.is_gap())));
        for column in 0..COLUMNS {
            write(&mut bytes, rows.iter().map(|row| row[column]));
        }
        Self(bytes.into())
    }

    /// The points as they were.
    pub(super) fn points(&self) -> Vec<Packed> {
        let mut bytes = &*self.0;
        let gaps = read(&mut bytes);
        let columns: [[u16; BLOCK]; COLUMNS] = std::array::from_fn(|_| read(&mut bytes));
        let point = |at: usize| match gaps[at] {
            0 => Packed::of_columns(columns.each_ref().map(|column| column[at])),
            _ => Packed::GAP,
        };
        (0..BLOCK).map(point).collect()
    }

    /// Bytes that it takes.
    pub(super) fn bytes(&self) -> usize {
        size_of::<Self>() + self.0.len()
    }
}

/// Writes a column: its least number, how many bits each takes, and how far each is above the least.
fn write(bytes: &mut Vec<u8>, numbers: impl Iterator<Item = u16> + Clone) {
    let least = numbers.clone().min().unwrap_or(0);
    let most = numbers.clone().max().unwrap_or(0);
    let width = u16::BITS - (most - least).leading_zeros();
    bytes.extend(least.to_le_bytes());
    bytes.extend(u8::try_from(width));
    let (mut held, mut bits) = (0_u32, 0);
    for number in numbers {
        held |= u32::from(number - least) << bits;
        bits += width;
        while bits >= u8::BITS {
            bytes.push(held.to_le_bytes()[0]);
            held >>= u8::BITS;
            bits -= u8::BITS;
        }
    }
    if bits > 0 {
        bytes.push(held.to_le_bytes()[0]);
    }
}

/// Reads a column, and goes on behind it.
fn read(bytes: &mut &[u8]) -> [u16; BLOCK] {
    let [low, high, width, rest @ ..] = *bytes else { return [0; BLOCK] };
    let (least, width) = (u16::from_le_bytes([*low, *high]), u32::from(*width));
    let (packed, behind) = rest.split_at((BLOCK * width as usize).div_ceil(8).min(rest.len()));
    *bytes = behind;
    let (mut held, mut bits, mut packed) = (0_u32, 0, packed.iter());
    std::array::from_fn(|_| {
        while bits < width {
            held |= u32::from(packed.next().copied().unwrap_or(0)) << bits;
            bits += u8::BITS;
        }
        let above = held & ((1 << width) - 1);
        held >>= width;
        bits -= width;
        least.wrapping_add(u16::try_from(above).unwrap_or(0))
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn point(columns: Option<[u16; COLUMNS]>) -> Packed {
        columns.map_or(Packed::GAP, Packed::of_columns)
    }

    proptest! {
        #[test]
        fn points_come_back_as_they_were_and_take_little_more_room_than_before(
            // A rate of this number is none; all others are one byte wide.
            rates in prop::collection::vec(prop::option::of([0..u16::MAX, 0..9_u16, 700..900_u16]), BLOCK),
            others in prop::collection::vec(prop::array::uniform8(0..256_u16), BLOCK),
        ) {
            let points: Vec<Packed> = rates
                .iter()
                .zip(&others)
                .map(|(rates, others)| {
                    point(rates.map(|[a, b, c]| {
                        let [d, e, f, g, h, i, j, k] = *others;
                        [a, b, c, d, e, f, g, h, i, j, k]
                    }))
                })
                .collect();
            let block = Block::of(&points);
            prop_assert_eq!(block.points(), points);
            prop_assert!(block.bytes() <= BLOCK * 14 + 80, "{}", block.bytes());
        }
    }

    #[test]
    fn what_stands_still_takes_next_to_nothing_and_a_gap_in_it_little_more() {
        let steady = point(Some([9; COLUMNS]));
        let mut points = vec![steady; BLOCK];
        assert!(Block::of(&points).bytes() < 64);
        points[70] = Packed::GAP;
        let block = Block::of(&points);
        assert!(block.bytes() < 80, "{}", block.bytes());
        assert_eq!(block.points(), points);
    }
}
