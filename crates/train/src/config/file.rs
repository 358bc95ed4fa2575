//! A run's file: TOML, an option a key.

use std::fmt::Write;
use std::fs;
use std::path::Path;

use toml::de::{DeTable, DeValue};

use super::{Config, ConfigError, OPTIONS, names};

impl Config {
    /// The options of a file; those that it does not name have their defaults.
    ///
    /// # Errors
    /// [`ConfigError`], naming the line: no TOML, a name that no option has, a value that it cannot have.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let text =
            fs::read_to_string(path).map_err(|source| ConfigError::Read { path: path.to_owned(), source })?;
        let mut config = Self::default();
        config.apply(path, &text)?;
        Ok(config)
    }

    /// Sets what `text` says, the contents of the file `path`.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn apply(&mut self, path: &Path, text: &str) -> Result<(), ConfigError> {
        let line = |at: usize| text[..at.min(text.len())].matches('\n').count() + 1;
        let syntax = |error: toml::de::Error| ConfigError::Syntax {
            path: path.to_owned(),
            line: line(error.span().map_or(0, |span| span.start)),
            message: error.message().to_owned(),
        };
        // Once with places, once with values.
        let places = DeTable::parse(text).map_err(syntax)?;
        let values: toml::Table = toml::from_str(text).map_err(syntax)?;
        let mut found = Vec::new();
        walk("", places.get_ref(), &values, &names(), &mut found);
        for (name, value, start) in found {
            self.set(&name, value).map_err(|error| ConfigError::Line {
                path: path.to_owned(),
                line: line(start),
                source: Box::new(error),
            })?;
        }
        Ok(())
    }

    /// The options as a file, each with its meaning.
    #[must_use]
    pub fn to_toml(&self) -> String {
        let mut text = String::new();
        let mut heading = "";
        for option in OPTIONS {
            if option.heading != heading {
                heading = option.heading;
                let _ = write!(text, "{}# {heading}\n\n", if text.is_empty() { "" } else { "\n" });
            }
            if let Some(value) = self.get(option.name) {
                let _ = writeln!(text, "# {}\n{} = {value}", option.help, option.name);
            }
        }
        text += "\n# How pictures are varied\n[augment]\n";
        for (key, value) in &self.augment {
            let _ = writeln!(text, "{key} = {value}");
        }
        text
    }

    /// The options that differ from `before`, each with both values, for a message.
    pub(crate) fn changes(&self, before: &Self) -> Vec<String> {
        let show = |config: &Self, name: &str| {
            config.get(name).map_or("not set".to_owned(), |value| value.to_string())
        };
        let known = names();
        let differing = before.differences(self).into_iter().filter(|name| known.contains(name));
        differing.map(|name| format!("{name}: {}, now {}", show(before, &name), show(self, &name))).collect()
    }
}

/// Collects options, their values, and where they begin. A table that is no option's value is a part of names.
fn walk<'a>(
    prefix: &str,
    places: &DeTable<'_>,
    values: &'a toml::Table,
    known: &[String],
    found: &mut Vec<(String, &'a toml::Value, usize)>,
) {
    for (key, place) in places {
        let name = format!("{prefix}{}", key.get_ref());
        let value = &values[key.get_ref().as_ref()];
        match (place.get_ref(), value) {
            (DeValue::Table(places), toml::Value::Table(values)) if !known.contains(&name) => {
                walk(&format!("{name}."), places, values, known, found);
            }
            _ => found.push((name, value, key.span().start)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{ClassWeights, OptimiserKind, Size, flag};

    fn error(text: &str) -> String {
        Config::default().apply(Path::new("run.toml"), text).unwrap_err().to_string()
    }

    #[test]
    fn a_file_sets_options() {
        let text = "model = \"efficientnet-b1\"\nsize = \"192x256\"\nlearning_rate = 1\nclip_norm = \"none\"\n\
                    optimiser = \"rmsprop\"\nclass_weights = [1, 2.5]\n[augment]\nmirror = 0.25\n\
                    policy = { randaugment = { operations = 2, magnitude = 9 } }\n[augment.jitter]\nsaturation = 0.1\n";
        let mut config = Config::default();
        config.apply(Path::new("run.toml"), text).unwrap();
        assert_eq!((config.model.as_str(), config.size), ("efficientnet-b1", Some(Size([192, 256]))));
        assert_eq!((config.learning_rate, config.clip_norm), (1.0, None));
        assert_eq!(config.optimiser, OptimiserKind::RmsProp);
        assert_eq!(config.class_weights, ClassWeights::Given(vec![1.0, 2.5]));
        assert_eq!(config.get("augment.mirror"), Some(toml::Value::Float(0.25)));
        assert_eq!(config.get("augment.jitter.saturation"), Some(toml::Value::Float(0.1)));
        let policy = config.get("augment.policy").unwrap();
        assert_eq!(policy["randaugment"]["operations"], toml::Value::Integer(2));
        let recipe: effigy_data::augment::ClassificationRecipe = config.augment.try_into().unwrap();
        assert_eq!(recipe.mirror, 0.25);
    }

    #[test]
    fn errors_name_the_line_and_what_is_near() {
        assert_eq!(
            error("batch = 8\n\nlerning_rate = 1"),
            "run.toml:3: there is no option `lerning_rate`; is `learning_rate` meant?"
        );
        assert_eq!(
            error("batch = 8\n[augment]\nmiror = 1"),
            "run.toml:3: there is no option `augment.miror`; is `augment.mirror` meant?"
        );
        assert_eq!(
            error("optimiser = \"adam\""),
            "run.toml:1: optimiser = \"adam\": one of sgd, rmsprop, adamw is wanted"
        );
        assert_eq!(error("batch = -1"), "run.toml:1: batch = -1: a whole number from 0 on is wanted");
        assert!(
            error("batch = 8\nepochs =\n").starts_with("run.toml:2: "),
            "{}",
            error("batch = 8\nepochs =\n")
        );
    }

    #[test]
    fn what_is_written_is_read() {
        let mut config = Config::default();
        for (name, text) in [
            ("size", "64x96"),
            ("label_smoothing", ".1"),
            ("anchor_ratios", "1x1,1.4x0.7"),
            ("class_weights", "balanced"),
            ("data", "2012"),
            ("betas", "0.8,.9"),
            ("augment.mirror", "0.1"),
            ("augment.crop_area", "0.5,1"),
            ("augment.jitter.saturation", "0.1"),
            ("augment.policy", "autoaugment"),
        ] {
            config.set_text(name, text).unwrap();
        }
        let mut read = Config::default();
        read.apply(Path::new("run.toml"), &config.to_toml()).unwrap();
        assert_eq!(read, config);
        assert!(config.differences(&read).is_empty());
        read.set_text("threads", "7").unwrap();
        assert!(config.differences(&read).is_empty());
        read.set_text("batch", "7").unwrap();
        assert_eq!(read.changes(&config), ["batch: 16, now 7"]);
    }

    #[test]
    fn every_option_has_a_name_of_its_own_and_can_be_set_to_what_it_is() {
        let (mut config, mut flags) = (Config::default(), Vec::new());
        config.data = "somewhere".into();
        for name in names() {
            flags.push(flag(&name));
            if let Some(value) = config.get(&name) {
                let before = config.clone();
                config.set(&name, &value).unwrap();
                assert_eq!(config, before, "{name}");
            }
        }
        let all = flags.len();
        flags.sort();
        flags.dedup();
        assert_eq!(flags.len(), all);
    }
}
