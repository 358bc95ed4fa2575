//! How a file lays a parameter out, and back.

use std::borrow::Cow;

use crate::state_dict::row_major;

/// How a file lays a parameter out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Layout {
    /// As PyTorch does, which is also the canonical way.
    AsIs,
    /// With its axes in another order: the canonical axis `i` is the file's axis `axes[i]`.
    Permuted(&'static [usize]),
    /// As several tensors, one for each entry of the canonical first axis.
    Stacked,
}

impl Layout {
    /// The shape of each of the file's tensors.
    pub(crate) fn stored_shape(self, canonical: &[usize]) -> Vec<usize> {
        match self {
            Self::AsIs => canonical.to_vec(),
            Self::Stacked => canonical.get(1..).unwrap_or_default().to_vec(),
            Self::Permuted(axes) => {
                let mut shape = canonical.to_vec();
                for (&axis, &length) in axes.iter().zip(canonical) {
                    shape[axis] = length;
                }
                shape
            }
        }
    }

    /// The parameter's shape, from that of one of the file's `count` tensors; nothing where they do not fit.
    pub(crate) fn canonical_shape(self, stored: &[usize], count: usize) -> Option<Vec<usize>> {
        match self {
            Self::AsIs => Some(stored.to_vec()),
            Self::Stacked => Some([&[count], stored].concat()),
            Self::Permuted(axes) if axes.len() == stored.len() => {
                Some(axes.iter().map(|&axis| stored[axis]).collect())
            }
            Self::Permuted(_) => None,
        }
    }

    /// The parameter's values in row-major order, from those of the file's tensors; `canonical` is its
    /// shape.
    pub(crate) fn values<'a>(
        self,
        canonical: &[usize],
        mut stored: impl Iterator<Item = Cow<'a, [f32]>>,
    ) -> Cow<'a, [f32]> {
        match self {
            Self::AsIs => stored.next().unwrap_or_default(),
            Self::Stacked => stored.flat_map(Cow::into_owned).collect::<Vec<f32>>().into(),
            Self::Permuted(axes) => {
                let strides = row_major(&self.stored_shape(canonical));
                let strides: Vec<usize> = axes.iter().map(|&axis| strides[axis]).collect();
                let mut values = Vec::with_capacity(canonical.iter().product());
                gather(&stored.next().unwrap_or_default(), 0, canonical, &strides, &mut values);
                values.into()
            }
        }
    }
}

/// The elements of a view of `from` in row-major order.
fn gather(from: &[f32], start: usize, shape: &[usize], strides: &[usize], to: &mut Vec<f32>) {
    match (shape, strides) {
        ([length, shape @ ..], [stride, strides @ ..]) => {
            (0..*length).for_each(|i| gather(from, start + i * stride, shape, strides, to));
        }
        _ => to.push(from[start]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axes_change_places() {
        // TensorFlow's convolution [H, W, I, O] = [1, 2, 3, 2] as [O, I, H, W].
        let layout = Layout::Permuted(&[3, 2, 0, 1]);
        let canonical = [2, 3, 1, 2];
        assert_eq!(layout.stored_shape(&canonical), [1, 2, 3, 2]);
        assert_eq!(layout.canonical_shape(&[1, 2, 3, 2], 1).unwrap(), canonical);
        assert_eq!(layout.canonical_shape(&[3, 2], 1), None);
        let stored: Vec<f32> = (0..12).map(|i| i as f32).collect();
        let values = layout.values(&canonical, [Cow::Borrowed(&stored[..])].into_iter());
        assert_eq!(*values, [0., 6., 2., 8., 4., 10., 1., 7., 3., 9., 5., 11.]);
    }

    #[test]
    fn tensors_are_stacked() {
        assert!(Layout::Stacked.stored_shape(&[3]).is_empty());
        assert_eq!(Layout::Stacked.canonical_shape(&[], 3).unwrap(), [3]);
        let stored = [1.0, 2.0, 3.0].map(|value| Cow::Owned(vec![value]));
        assert_eq!(*Layout::Stacked.values(&[3], stored.into_iter()), [1.0, 2.0, 3.0]);
    }
}
