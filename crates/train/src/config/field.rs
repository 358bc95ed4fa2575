//! Values of options: from a file or a flag, and back.

use std::fmt;
use std::path::PathBuf;

use effigy_arch::AspectRatio;
use effigy_data::OnProblem;
use toml::Value;

use super::{ClassWeights, DetectionLossKind, Freeze, OptimiserKind, ScheduleKind};
use crate::TrainingPrecision;

/// Height and width in pixels: a number, or `HxW`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Size(pub [usize; 2]);

impl fmt::Debug for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}x{}", self.0[0], self.0[1])
    }
}

/// What can be an option. Errors say what would have been right.
pub(super) trait Field {
    fn set(&mut self, value: &Value) -> Result<(), String>;
    fn get(&self) -> Option<Value>;

    /// Takes what a flag says.
    fn set_text(&mut self, text: &str) -> Result<(), String> {
        self.set(&value_of(text))
    }
}

/// A flag's text as a file's value: as TOML where it is some, a number also as `.1`, a list where there are commas, else
/// a string.
pub(super) fn value_of(text: &str) -> Value {
    let parsed = toml::from_str::<toml::Table>(&format!("value = {text}"));
    if let Some(value) =
        parsed.ok().filter(|table| table.len() == 1).and_then(|mut table| table.remove("value"))
    {
        return value;
    }
    match text.parse::<f64>() {
        Ok(number) if number.is_finite() => Value::Float(number),
        _ if text.contains(',') => Value::Array(text.split(',').map(|part| value_of(part.trim())).collect()),
        _ => Value::String(text.to_owned()),
    }
}

/// What an option can be set to: a number that is finite.
fn finite(value: &Value) -> Option<f64> {
    number(value).filter(|number| number.is_finite())
}

/// Any number.
pub(super) fn number(value: &Value) -> Option<f64> {
    value.as_float().or_else(|| value.as_integer().map(|number| number as f64))
}

impl Field for f64 {
    fn set(&mut self, value: &Value) -> Result<(), String> {
        *self = finite(value).ok_or("a number")?;
        Ok(())
    }

    fn get(&self) -> Option<Value> {
        Some(Value::Float(*self))
    }
}

impl Field for f32 {
    fn set(&mut self, value: &Value) -> Result<(), String> {
        *self = finite(value).ok_or("a number")? as Self;
        Ok(())
    }

    fn get(&self) -> Option<Value> {
        // By way of its shortest decimal form, so that .1 stays .1.
        Some(Value::Float(self.to_string().parse().unwrap_or(f64::from(*self))))
    }
}

impl Field for usize {
    fn set(&mut self, value: &Value) -> Result<(), String> {
        let number = value.as_integer().and_then(|number| Self::try_from(number).ok());
        *self = number.ok_or("a whole number from 0 on")?;
        Ok(())
    }

    fn get(&self) -> Option<Value> {
        i64::try_from(*self).ok().map(Value::Integer)
    }
}

impl Field for u64 {
    fn set(&mut self, value: &Value) -> Result<(), String> {
        let number = value.as_integer().and_then(|number| Self::try_from(number).ok());
        *self = number.ok_or("a whole number from 0 on")?;
        Ok(())
    }

    fn get(&self) -> Option<Value> {
        i64::try_from(*self).ok().map(Value::Integer)
    }
}

impl Field for bool {
    fn set(&mut self, value: &Value) -> Result<(), String> {
        *self = value.as_bool().ok_or("true or false")?;
        Ok(())
    }

    fn get(&self) -> Option<Value> {
        Some(Value::Boolean(*self))
    }
}

impl Field for String {
    fn set(&mut self, value: &Value) -> Result<(), String> {
        value.as_str().ok_or("a string")?.clone_into(self);
        Ok(())
    }

    fn get(&self) -> Option<Value> {
        Some(Value::String(self.clone()))
    }

    fn set_text(&mut self, text: &str) -> Result<(), String> {
        text.clone_into(self);
        Ok(())
    }
}

impl Field for PathBuf {
    fn set(&mut self, value: &Value) -> Result<(), String> {
        *self = value.as_str().filter(|path| !path.is_empty()).ok_or("a path")?.into();
        Ok(())
    }

    fn get(&self) -> Option<Value> {
        Some(Value::String(self.to_string_lossy().into_owned()))
    }

    fn set_text(&mut self, text: &str) -> Result<(), String> {
        self.set(&Value::String(text.to_owned()))
    }
}

/// `none` takes an option's value away.
impl<T: Field + Default> Field for Option<T> {
    fn set(&mut self, value: &Value) -> Result<(), String> {
        if value.as_str() == Some("none") {
            *self = None;
            return Ok(());
        }
        let mut new = T::default();
        new.set(value).map_err(|wanted| format!("{wanted}, or none"))?;
        *self = Some(new);
        Ok(())
    }

    fn get(&self) -> Option<Value> {
        // Said, so that a file can take away a default.
        Some(
            self.as_ref()
                .map_or(Value::String("none".to_owned()), |value| value.get().unwrap_or("none".into())),
        )
    }

    fn set_text(&mut self, text: &str) -> Result<(), String> {
        if text == "none" {
            *self = None;
            return Ok(());
        }
        let mut new = T::default();
        new.set_text(text).map_err(|wanted| format!("{wanted}, or none"))?;
        *self = Some(new);
        Ok(())
    }
}

impl Field for Vec<f64> {
    fn set(&mut self, value: &Value) -> Result<(), String> {
        let numbers = match value {
            Value::Array(values) => values.iter().map(finite).collect(),
            value => finite(value).map(|number| vec![number]),
        };
        *self = numbers.ok_or("a list of numbers")?;
        Ok(())
    }

    fn get(&self) -> Option<Value> {
        Some(Value::Array(self.iter().map(|&number| Value::Float(number)).collect()))
    }
}

impl Default for Size {
    fn default() -> Self {
        Self([224, 224])
    }
}

impl Field for Size {
    fn set(&mut self, value: &Value) -> Result<(), String> {
        let side = |text: &str| text.trim().parse().ok().filter(|&side: &usize| side > 0);
        let sides = match value {
            Value::Integer(side) => {
                usize::try_from(*side).ok().filter(|&side| side > 0).map(|side| [side, side])
            }
            Value::String(text) => text.split_once(['x', '×']).and_then(|(h, w)| Some([side(h)?, side(w)?])),
            _ => None,
        };
        *self = Self(sides.ok_or("a number of pixels, or HxW such as 192x256")?);
        Ok(())
    }

    fn get(&self) -> Option<Value> {
        let Self([height, width]) = self;
        Some(if height == width {
            Value::Integer(*height as i64)
        } else {
            format!("{height}x{width}").into()
        })
    }
}

impl Field for Vec<AspectRatio> {
    fn set(&mut self, value: &Value) -> Result<(), String> {
        let factor = |text: &str| text.trim().parse().ok().filter(|&f: &f64| f > 0.0 && f.is_finite());
        let shape = |value: &Value| match value {
            Value::String(text) => match text.split_once(['x', '×']) {
                Some((w, h)) => Some(AspectRatio::new(factor(w)?, factor(h)?)),
                None => factor(text).map(AspectRatio::of),
            },
            value => finite(value).filter(|&ratio| ratio > 0.0).map(AspectRatio::of),
        };
        let shapes = match value {
            Value::Array(values) => values.iter().map(shape).collect(),
            value => shape(value).map(|shape| vec![shape]),
        };
        *self = shapes.ok_or("a list of shapes: \"WxH\", two factors above 0, or one ratio")?;
        Ok(())
    }

    fn get(&self) -> Option<Value> {
        Some(Value::Array(
            self.iter().map(|ratio| format!("{}x{}", ratio.width, ratio.height).into()).collect(),
        ))
    }
}

impl Field for ClassWeights {
    fn set(&mut self, value: &Value) -> Result<(), String> {
        *self = match value {
            Value::String(word) if word == "equal" => Self::Equal,
            Value::String(word) if word == "balanced" => Self::Balanced,
            value => {
                let mut numbers: Vec<f64> = Vec::new();
                let set = numbers.set(value);
                set.map_err(|_| "equal, balanced, or a list of numbers, one for each class")?;
                Self::Given(numbers.into_iter().map(|number| number as f32).collect())
            }
        };
        Ok(())
    }

    fn get(&self) -> Option<Value> {
        match self {
            Self::Equal => Some("equal".into()),
            Self::Balanced => Some("balanced".into()),
            Self::Given(weights) => Some(Value::Array(weights.iter().filter_map(Field::get).collect())),
        }
    }
}

/// A choice, by words.
trait Word: Copy + PartialEq + 'static {
    const WORDS: &'static [(&'static str, Self)];
}

impl<T: Word> Field for T {
    fn set(&mut self, value: &Value) -> Result<(), String> {
        let found = T::WORDS.iter().find(|(word, _)| value.as_str() == Some(word));
        let words = || T::WORDS.iter().map(|(word, _)| *word).collect::<Vec<_>>().join(", ");
        *self = found.ok_or_else(|| format!("one of {}", words()))?.1;
        Ok(())
    }

    fn get(&self) -> Option<Value> {
        let found = T::WORDS.iter().find(|(_, value)| value == self);
        found.map(|(word, _)| (*word).into())
    }
}

impl Word for Freeze {
    const WORDS: &'static [(&'static str, Self)] =
        &[("nothing", Self::Nothing), ("backbone", Self::Backbone), ("all-but-head", Self::AllButHead)];
}

impl Word for OptimiserKind {
    const WORDS: &'static [(&'static str, Self)] =
        &[("sgd", Self::Sgd), ("rmsprop", Self::RmsProp), ("adamw", Self::AdamW)];
}

impl Word for ScheduleKind {
    const WORDS: &'static [(&'static str, Self)] =
        &[("constant", Self::Constant), ("exponential", Self::Exponential), ("cosine", Self::Cosine)];
}

impl Word for DetectionLossKind {
    const WORDS: &'static [(&'static str, Self)] =
        &[("official", Self::Official), ("zylo117", Self::Zylo117)];
}

impl Word for TrainingPrecision {
    const WORDS: &'static [(&'static str, Self)] = &[("fp32", Self::Fp32), ("bf16", Self::Bf16)];
}

impl Word for OnProblem {
    const WORDS: &'static [(&'static str, Self)] = &[("skip", Self::Skip), ("refuse", Self::Refuse)];
}
