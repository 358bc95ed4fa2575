//! Within which bounds options must lie, whatever the model and the data are.

use toml::Value;

use super::field::number;
use super::{Config, ConfigError};

/// What a number may be.
#[derive(Clone, Copy)]
enum Bound {
    FromOne,
    FromZero,
    AboveZero,
    Share,
    ShareAboveZero,
    ShareBelowOne,
}

use Bound::{AboveZero, FromOne, FromZero, Share, ShareAboveZero, ShareBelowOne};

/// The bound of every number that has one, and of every number of a list.
const BOUNDS: &[(&str, Bound)] = &[
    ("crop_pct", ShareAboveZero),
    ("batch_norm_momentum", ShareAboveZero),
    ("dropout", ShareBelowOne),
    ("drop_connect", ShareBelowOne),
    ("batch", FromOne),
    ("accumulate", FromOne),
    ("epochs", FromOne),
    ("learning_rate", AboveZero),
    ("learning_rate_batch", FromOne),
    ("momentum", ShareBelowOne),
    ("rmsprop_decay", ShareBelowOne),
    ("betas", ShareBelowOne),
    ("epsilon", AboveZero),
    ("weight_decay", FromZero),
    ("clip_norm", AboveZero),
    ("warm_up_epochs", FromZero),
    ("warm_up_from", FromZero),
    ("decay_factor", AboveZero),
    ("decay_epochs", AboveZero),
    ("cosine_floor", Share),
    ("ema_decay", ShareBelowOne),
    ("label_smoothing", ShareBelowOne),
    ("class_weights", FromZero),
    ("focal_alpha", Share),
    ("focal_gamma", FromZero),
    ("box_weight", FromZero),
    ("box_delta", AboveZero),
    ("positive_iou", ShareAboveZero),
    ("negative_iou", Share),
    ("anchor_base", AboveZero),
    ("anchor_scales", AboveZero),
    ("threads", FromOne),
    ("eval_every", FromOne),
    ("eval_batch", FromOne),
    ("save_minutes", FromZero),
];

impl Bound {
    fn holds(self, number: f64) -> bool {
        match self {
            FromOne => number >= 1.0,
            FromZero => number >= 0.0,
            AboveZero => number > 0.0,
            Share => (0.0..=1.0).contains(&number),
            ShareAboveZero => number > 0.0 && number <= 1.0,
            ShareBelowOne => (0.0..1.0).contains(&number),
        }
    }

    fn words(self) -> &'static str {
        match self {
            FromOne => "a number from 1 on",
            FromZero => "a number from 0 on",
            AboveZero => "a number above 0",
            Share => "a number from 0 to 1",
            ShareAboveZero => "a number above 0 and up to 1",
            ShareBelowOne => "a number from 0 up to, not including, 1",
        }
    }
}

impl Config {
    /// Whether all options are within their bounds.
    ///
    /// # Errors
    /// [`ConfigError::Value`]: the first that is not.
    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        let refused = |name: &str, value: String, wanted: String| {
            Err(ConfigError::Value { name: name.to_owned(), value, wanted })
        };
        for &(name, bound) in BOUNDS {
            let Some(value) = self.get(name) else { continue };
            let (numbers, each) = match &value {
                Value::Array(numbers) => (&numbers[..], "each "),
                value => (std::slice::from_ref(value), ""),
            };
            // What is none or a word has no bounds.
            if !numbers.iter().filter_map(number).all(|number| bound.holds(number)) {
                return refused(name, value.to_string(), format!("{each}{}", bound.words()));
            }
        }
        if self.betas.len() != 2 {
            return refused("betas", format!("{:?}", self.betas), "a list of two numbers".to_owned());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_have_bounds() {
        assert!(Config::default().check().is_ok());
        let check = |name: &str, text: &str| {
            let mut config = Config::default();
            config.set_text(name, text).unwrap();
            config.check().map_err(|error| error.to_string())
        };
        let good = [
            ("clip_norm", "none"),
            ("class_weights", "balanced"),
            ("class_weights", "0,2"),
            ("cosine_floor", "1"),
            ("betas", "0,0.99"),
            ("threads", "1"),
        ];
        for (name, text) in good {
            assert_eq!(check(name, text), Ok(()), "{name} = {text}");
        }
        let bad = [
            ("batch", "0", "batch = 0: a number from 1 on is wanted"),
            ("threads", "0", "threads = 0: a number from 1 on is wanted"),
            ("weight_decay", "-1", "weight_decay = -1.0: a number from 0 on is wanted"),
            ("learning_rate", "0", "learning_rate = 0.0: a number above 0 is wanted"),
            ("cosine_floor", "1.5", "cosine_floor = 1.5: a number from 0 to 1 is wanted"),
            ("crop_pct", "0", "crop_pct = 0.0: a number above 0 and up to 1 is wanted"),
            ("ema_decay", "1", "ema_decay = 1.0: a number from 0 up to, not including, 1 is wanted"),
            ("class_weights", "1,-1", "class_weights = [1.0, -1.0]: each a number from 0 on is wanted"),
            ("anchor_scales", "0,1", "anchor_scales = [0.0, 1.0]: each a number above 0 is wanted"),
            ("betas", "0.5", "betas = [0.5]: a list of two numbers is wanted"),
        ];
        for (name, text, words) in bad {
            assert_eq!(check(name, text), Err(words.to_owned()));
        }
    }

    #[test]
    fn what_has_a_bound_is_an_option() {
        for (name, _) in BOUNDS {
            assert!(Config::default().get(name).is_some(), "{name}");
        }
    }
}
