//! Groups of bars, with their values at their ends.

use plotters::{
    backend::SVGBackend,
    drawing::IntoDrawingArea,
    element::{Rectangle, Text},
    style::{FontStyle, ShapeStyle, text_anchor::HPos},
};

use super::{DrawError, FAINT, INK, PAPER, colour, text};
use crate::{server::Kind, table::number};

/// A picture of bars.
#[derive(Debug)]
pub(super) struct Bars {
    pub(super) title: &'static str,
    pub(super) note: &'static str,
    pub(super) groups: Vec<Group>,
}

/// Bars that belong together.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) name: String,
    pub(super) bars: Vec<(Kind, f64)>,
}

const WIDTH: u32 = 960;
const TOP: i32 = 96;
const ROW: i32 = 26;
const BAR: i32 = 18;
const GAP: i32 = 46;
const LEFT: i32 = 132;
const LONGEST: f64 = 730.0;
const MARGIN: i32 = 28;

impl Bars {
    /// The picture as a file.
    pub(super) fn svg(&self) -> Result<String, DrawError> {
        let rows: usize = self.groups.iter().map(|group| group.bars.len()).sum();
        let rows = i32::try_from(rows).unwrap_or(i32::MAX / ROW / 2);
        let groups = i32::try_from(self.groups.len()).unwrap_or(0);
        let height = TOP + rows * ROW + groups * GAP + MARGIN / 2;
        let mut svg = String::new();
        let size = (WIDTH, u32::try_from(height).unwrap_or(u32::MAX));
        let area = SVGBackend::with_string(&mut svg, size).into_drawing_area();
        area.fill(&PAPER)?;
        let title = text(24, INK, FontStyle::Bold, HPos::Left);
        area.draw(&Text::new(self.title, (MARGIN, 34), title))?;
        let note = text(14, FAINT, FontStyle::Normal, HPos::Left);
        area.draw(&Text::new(self.note, (MARGIN, 64), note))?;
        let values = self.groups.iter().flat_map(|group| &group.bars);
        let most = values.map(|(_, value)| *value).fold(f64::MIN_POSITIVE, f64::max);
        let mut y = TOP;
        for group in &self.groups {
            let name = text(16, INK, FontStyle::Bold, HPos::Left);
            area.draw(&Text::new(group.name.clone(), (MARGIN, y + 12), name))?;
            y += 30;
            for &(kind, value) in &group.bars {
                #[expect(clippy::cast_possible_truncation, reason = "at most the longest bar")]
                let length = (LONGEST * value / most) as i32;
                let middle = y + BAR / 2;
                let weight = if kind == Kind::Ghost { FontStyle::Bold } else { FontStyle::Normal };
                let label = text(15, INK, weight, HPos::Right);
                area.draw(&Text::new(kind.name(), (LEFT - 10, middle), label))?;
                let fill = ShapeStyle::from(&colour(kind)).filled();
                let end = LEFT + length.max(2);
                area.draw(&Rectangle::new([(LEFT, y), (end, y + BAR)], fill))?;
                let label = text(15, INK, weight, HPos::Left);
                area.draw(&Text::new(number(value), (end + 8, middle), label))?;
                y += ROW;
            }
            y += GAP - 30;
        }
        area.present()?;
        drop(area);
        Ok(svg)
    }
}
