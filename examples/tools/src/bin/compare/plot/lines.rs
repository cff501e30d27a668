//! Lines over a few steps, one for each server.

use plotters::{
    backend::SVGBackend,
    coord::Shift,
    drawing::{DrawingArea, IntoDrawingArea},
    element::{Circle, PathElement, Text},
    style::{Color, FontStyle, ShapeStyle, text_anchor::HPos},
};

use super::{DrawError, FAINT, INK, PAPER, RULE, colour, text};
use crate::server::Kind;

/// A picture of lines.
#[derive(Debug)]
pub(super) struct Lines {
    pub(super) title: &'static str,
    pub(super) note: &'static str,
    /// What the steps are.
    pub(super) axis: &'static str,
    pub(super) steps: Vec<String>,
    pub(super) lines: Vec<Line>,
    /// Whether ten times as much is one step up.
    pub(super) decades: bool,
    /// A value that means something.
    pub(super) mark: Option<(f64, &'static str)>,
}

/// A server's line.
#[derive(Debug)]
pub(super) struct Line {
    pub(super) kind: Kind,
    /// One for each step.
    pub(super) values: Vec<Option<f64>>,
}

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

/// From values to places.
#[derive(Debug)]
struct Scale {
    low: f64,
    high: f64,
    decades: bool,
}

const SIZE: (u32, u32) = (960, 500);
const MARGIN: i32 = 28;
const LEFT: f64 = 84.0;
const RIGHT: f64 = 916.0;
const TOP: f64 = 130.0;
const BOTTOM: f64 = 436.0;

impl Lines {
    /// The picture as a file.
    pub(super) fn svg(&self) -> Result<String, DrawError> {
        let mut svg = String::new();
        let area = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
        area.fill(&PAPER)?;
        let title = text(24, INK, FontStyle::Bold, HPos::Left);
        area.draw(&Text::new(self.title, (MARGIN, 34), title))?;
        let note = text(14, FAINT, FontStyle::Normal, HPos::Left);
        area.draw(&Text::new(self.note, (MARGIN, 64), note))?;
        self.legend(&area)?;
        let scale = self.scale();
        self.grid(&area, &scale)?;
        // Ours is drawn last, on top.
        for line in self.lines.iter().rev() {
            let points = line.values.iter().enumerate();
            let points = points.filter_map(|(at, value)| Some((self.x(at), scale.y((*value)?))));
            let points: Vec<(i32, i32)> = points.collect();
            let width = if line.kind == Kind::Ghost { 4 } else { 2 };
            let stroke = ShapeStyle::from(&colour(line.kind)).stroke_width(width);
            area.draw(&PathElement::new(points.clone(), stroke))?;
            for point in points {
                area.draw(&Circle::new(
                    point,
                    width + 2,
                    ShapeStyle::from(&colour(line.kind)).filled(),
                ))?;
            }
        }
        area.present()?;
        drop(area);
        Ok(svg)
    }

    fn legend(&self, area: &Area<'_>) -> Result<(), DrawError> {
        let mut x = MARGIN;
        for line in &self.lines {
            let fill = ShapeStyle::from(&colour(line.kind)).filled();
            area.draw(&Circle::new((x + 6, 98), 6, fill))?;
            let weight = if line.kind == Kind::Ghost { FontStyle::Bold } else { FontStyle::Normal };
            let name = text(15, INK, weight, HPos::Left);
            area.draw(&Text::new(line.kind.name(), (x + 18, 98), name))?;
            x += 48 + 9 * i32::try_from(line.kind.name().len()).unwrap_or(0);
        }
        Ok(())
    }

    fn grid(&self, area: &Area<'_>, scale: &Scale) -> Result<(), DrawError> {
        let (left, right) = (whole(LEFT), whole(RIGHT));
        let faint = |at| text(14, FAINT, FontStyle::Normal, at);
        for value in scale.ticks() {
            let y = scale.y(value);
            area.draw(&PathElement::new([(left, y), (right, y)], RULE))?;
            let value = ((value * 1e3).round() / 1e3).to_string();
            area.draw(&Text::new(value, (left - 10, y), faint(HPos::Right)))?;
        }
        if let Some((value, name)) = self.mark {
            let y = scale.y(value);
            area.draw(&PathElement::new([(left, y), (right, y)], FAINT.mix(0.8)))?;
            area.draw(&Text::new(name, (left + 6, y - 11), faint(HPos::Left)))?;
        }
        for (at, step) in self.steps.iter().enumerate() {
            let place = (self.x(at), whole(BOTTOM) + 20);
            area.draw(&Text::new(
                step.clone(),
                place,
                text(15, INK, FontStyle::Normal, HPos::Center),
            ))?;
        }
        let place = (whole(f64::midpoint(LEFT, RIGHT)), whole(BOTTOM) + 44);
        area.draw(&Text::new(self.axis, place, faint(HPos::Center)))
    }

    fn scale(&self) -> Scale {
        let values = self.lines.iter().flat_map(|line| &line.values).flatten().copied();
        let values = values.chain(self.mark.map(|(value, _)| value));
        let (low, high) = values.fold((f64::MAX, f64::MIN_POSITIVE), |(low, high), value| {
            (low.min(value), high.max(value))
        });
        let decades = self.decades;
        if decades {
            let (low, high) = (low.max(1e-6).log10().floor(), high.log10().ceil());
            Scale { low, high: high.max(low + 1.0), decades }
        } else {
            Scale { low: 0.0, high: (high / 20.0).ceil() * 20.0, decades }
        }
    }

    fn x(&self, at: usize) -> i32 {
        let steps = self.steps.len().max(2) - 1;
        let inset = 40.0;
        whole(LEFT + inset + (RIGHT - LEFT - 2.0 * inset) * at as f64 / steps as f64)
    }
}

impl Scale {
    fn y(&self, value: f64) -> i32 {
        let value = if self.decades { value.max(1e-6).log10() } else { value };
        let part = ((value - self.low) / (self.high - self.low)).clamp(0.0, 1.0);
        whole(BOTTOM - (BOTTOM - TOP) * part)
    }

    /// Values that get a line and a number.
    fn ticks(&self) -> Vec<f64> {
        let count = if self.decades { self.high - self.low } else { 5.0 };
        let values = (0..=100u8).map(f64::from).take_while(|at| *at <= count);
        let value = |at: f64| {
            let value = self.low + (self.high - self.low) * at / count;
            if self.decades { 10f64.powf(value) } else { value }
        };
        values.map(value).collect()
    }
}

fn whole(place: f64) -> i32 {
    #[expect(clippy::cast_possible_truncation, reason = "places within a picture")]
    let place = place.round() as i32;
    place
}

#[cfg(test)]
mod tests {
    use super::{Line, Lines};
    use crate::server::Kind;

    #[test]
    fn a_line_without_some_values_is_drawn_all_the_same() {
        let line = |kind, values: [Option<f64>; 3]| Line { kind, values: values.into() };
        let lines = Lines {
            title: "a title",
            note: "",
            axis: "rooms",
            steps: ["4", "16", "32"].map(str::to_owned).into(),
            lines: vec![
                line(Kind::Ghost, [Some(0.2), Some(3.0), Some(0.0)]),
                line(Kind::Redis, [None, Some(2000.0), None]),
            ],
            decades: true,
            mark: Some((16.7, "a frame")),
        };
        let svg = lines.svg().unwrap();
        for text in ["a title", "Redis", "a frame", "1000", "</svg>"] {
            assert!(svg.contains(text), "{text}");
        }
    }
}
