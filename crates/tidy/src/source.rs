//! Rust source, taken apart just far enough: code, comments, and what belongs to tests.

/// A line of a Rust file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Line {
    /// What the compiler reads, with the contents of strings and characters left out.
    pub code: String,
    /// What is written in comments.
    pub comment: String,
    /// Whether it is compiled for tests, examples or benchmarks only.
    pub test: bool,
}

#[derive(Clone, Copy, PartialEq)]
enum State {
    Code,
    LineComment,
    /// How many are nested.
    BlockComment(usize),
    Text,
    /// How many `#` close it.
    RawText(usize),
}

/// Takes a file apart.
pub(crate) fn lines(text: &str) -> Vec<Line> {
    let chars: Vec<char> = text.chars().collect();
    let mut lines = vec![Line::default()];
    let mut state = State::Code;
    let mut i = 0;
    while i < chars.len() {
        let rest = &chars[i..];
        let line = lines.last_mut().expect("there is always a line");
        if rest[0] == '\n' {
            if state == State::LineComment {
                state = State::Code;
            }
            lines.push(Line::default());
            i += 1;
            continue;
        }
        let (next, read) = match state {
            State::Code => code(rest, i.checked_sub(1).map(|before| chars[before]), line),
            State::LineComment => {
                line.comment.push(rest[0]);
                (state, 1)
            }
            State::BlockComment(depth) => match rest {
                ['*', '/', ..] if depth == 1 => (State::Code, 2),
                ['*', '/', ..] => (State::BlockComment(depth - 1), 2),
                ['/', '*', ..] => (State::BlockComment(depth + 1), 2),
                _ => {
                    line.comment.push(rest[0]);
                    (state, 1)
                }
            },
            State::Text => match rest[0] {
                '\\' if rest.get(1) != Some(&'\n') => (state, 2),
                '"' => {
                    line.code.push('"');
                    (State::Code, 1)
                }
                _ => (state, 1),
            },
            State::RawText(hashes) => {
                let closed = rest[0] == '"' && rest[1..].iter().take_while(|c| **c == '#').count() >= hashes;
                if closed {
                    line.code.push('"');
                    (State::Code, 1 + hashes)
                } else {
                    (state, 1)
                }
            }
        };
        state = next;
        i += read;
    }
    mark_tests(&mut lines);
    lines
}

/// Reads one token or character of code: the state after it, and how many characters it has.
fn code(rest: &[char], before: Option<char>, line: &mut Line) -> (State, usize) {
    let in_word = before.is_some_and(is_word);
    match rest {
        ['/', '/', ..] => return (State::LineComment, 2),
        ['/', '*', ..] => return (State::BlockComment(1), 2),
        ['"', ..] => {
            line.code.push('"');
            return (State::Text, 1);
        }
        ['r', ..] if !in_word || before == Some('b') => {
            let hashes = rest[1..].iter().take_while(|c| **c == '#').count();
            if rest.get(1 + hashes) == Some(&'"') {
                line.code.push('"');
                return (State::RawText(hashes), 2 + hashes);
            }
        }
        ['\'', '\\', escaped @ ..] => {
            let length = escaped.iter().skip(1).position(|c| *c == '\'').unwrap_or(0);
            line.code.push_str("''");
            return (State::Code, length + 4);
        }
        ['\'', _, '\'', ..] => {
            line.code.push_str("''");
            return (State::Code, 3);
        }
        _ => {}
    }
    line.code.push(rest[0]);
    (State::Code, 1)
}

/// Marks the items under `#[cfg(test)]`.
fn mark_tests(lines: &mut [Line]) {
    let mut i = 0;
    while i < lines.len() {
        if lines[i].code.trim() != "#[cfg(test)]" {
            i += 1;
            continue;
        }
        let (mut depth, mut ended) = (0, false);
        while i < lines.len() && !ended {
            for c in lines[i].code.chars() {
                match c {
                    '{' => depth += 1,
                    '}' => depth -= 1,
                    _ => {}
                }
                ended |= depth == 0 && matches!(c, '}' | ';');
            }
            lines[i].test = true;
            i += 1;
        }
    }
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// Whether `pattern` occurs in `code`, not as a part of longer names.
#[must_use]
pub fn contains_word(code: &str, pattern: &str) -> bool {
    let begins = pattern.starts_with(is_word);
    let ends = pattern.ends_with(is_word);
    code.match_indices(pattern).any(|(at, _)| {
        let before = code[..at].chars().next_back().is_some_and(is_word);
        let after = code[at + pattern.len()..].chars().next().is_some_and(is_word);
        !(begins && before || ends && after)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken_apart(text: &str) -> (String, String) {
        let lines = lines(text);
        let join = |part: fn(&Line) -> &str| lines.iter().map(part).collect::<Vec<_>>().join("\n");
        (join(|line| &line.code), join(|line| &line.comment))
    }

    #[test]
    fn strings_and_comments_are_no_code() {
        for (text, code, comment) in [
            ("a(\"todo!()\", 'x'); // why", "a(\"\", ''); ", " why"),
            ("a(\"\\\"b\\\\\") + c", "a(\"\") + c", ""),
            ("a(r#\"\"b\"\"#, br\"c\") + d", "a(\"\", b\"\") + d", ""),
            ("a /* b /* c */ d */ e", "a  e", " b  c  d "),
            ("fn f<'a>(x: &'a str) -> char { '\\'' }", "fn f<'a>(x: &'a str) -> char { '' }", ""),
            ("let s = \"one\ntwo\"; three", "let s = \"\n\"; three", "\n"),
            ("let c = '\\u{7f}'; d", "let c = ''; d", ""),
        ] {
            assert_eq!(taken_apart(text), (code.to_owned(), comment.to_owned()), "{text}");
        }
    }

    #[test]
    fn items_under_cfg_test_are_tests() {
        let text = "fn a() {}\n#[cfg(test)]\nmod t {\n  fn b() { \"}\"; }\n}\nfn c() {}\n#[cfg(test)]\nmod d;\nfn e() {}";
        let tests: Vec<bool> = lines(text).iter().map(|line| line.test).collect();
        assert_eq!(tests, [false, true, true, true, true, false, true, true, false]);
    }

    #[test]
    fn words_are_whole() {
        assert!(contains_word("unsafe { x }", "unsafe"));
        assert!(!contains_word("#![allow(unsafe_code)]", "unsafe"));
        assert!(contains_word("eprintln!(x)", "eprintln!"));
        assert!(!contains_word("eprintln!(x)", "println!"));
    }
}
