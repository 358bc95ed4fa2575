use proptest::prelude::*;

use super::*;

/// Everything sorted, then cut.
fn plainly(logits: &[f32], classes: usize, options: &PostProcessing) -> Vec<Candidate> {
    let (most, best_class) = match options.candidates {
        Candidates::EveryClass(most) => (most, false),
        Candidates::BestClass(most) => (most, true),
    };
    let mut order: Vec<usize> = (0..logits.len()).collect();
    order.sort_by(|&a, &b| logits[b].partial_cmp(&logits[a]).unwrap());
    let mut seen = vec![false; logits.len() / classes];
    order.retain(|index| !std::mem::replace(&mut seen[index / classes], true) || !best_class);
    let wanted = |class: usize| options.classes.as_ref().is_none_or(|wanted| wanted.contains(&class));
    order.retain(|index| wanted(index % classes) && sigmoid(logits[*index]) > options.score);
    order.truncate(most);
    let candidate = |index: usize| Candidate {
        anchor: index / classes,
        class_index: index % classes,
        score: sigmoid(logits[index]),
    };
    order.into_iter().map(candidate).collect()
}

fn select(logits: &[f32], classes: usize, options: &PostProcessing) -> Result<Vec<Candidate>, NotFinite> {
    // Two levels, cut at an anchor.
    let (first, second) = logits.split_at(logits.len() / classes / 3 * classes);
    let levels = [first, second].map(|class_logits| Level { class_logits, box_offsets: &[] });
    let alone = Selection::new(options).select(&levels, classes, Workers::ALONE);
    // Whatever the number of threads, and whichever of them ends first.
    for threads in [2, 5] {
        let backwards = |tasks: usize, task: &(dyn Fn(usize) + Sync)| (0..tasks).rev().for_each(task);
        let workers = Workers { threads, share: &backwards };
        assert_eq!(Selection::new(options).select(&levels, classes, workers), alone);
    }
    alone
}

/// Logits with many equal ones and zeros of both signs; some are so many that the cut is guessed.
fn logits() -> impl Strategy<Value = Vec<f32>> {
    let logit = (-40..40_i32).prop_map(|step| if step == 7 { -0.0 } else { step as f32 / 3.0 });
    prop::collection::vec(logit, 0..6000)
}

proptest! {
    #[test]
    fn selects_what_a_sort_does(
        mut logits in logits(),
        classes in 1..7_usize,
        most in 0..40_usize,
        best_class: bool,
        score in prop_oneof![Just(0.0), Just(0.5), Just(1.0), 0.0..1.0_f32],
        wanted in prop::option::of(prop::collection::vec(0..7_usize, 0..4)),
    ) {
        logits.truncate(logits.len() / classes * classes);
        let candidates = if best_class { Candidates::BestClass(most) } else { Candidates::EveryClass(most) };
        let options = PostProcessing { score, candidates, classes: wanted, ..PostProcessing::EFFDET };
        prop_assert_eq!(select(&logits, classes, &options).unwrap(), plainly(&logits, classes, &options));
    }

    #[test]
    fn notices_every_value_that_is_not_finite(at in 0..400_usize, best_class: bool, score in 0.0..=1.0_f32) {
        let candidates = if best_class { Candidates::BestClass(3) } else { Candidates::EveryClass(3) };
        let options = PostProcessing { score, candidates, ..PostProcessing::EFFDET };
        for poison in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let mut logits = vec![-5.0; 400];
            logits[at] = poison;
            let level = if at < 132 { "class.p3" } else { "class.p4" };
            prop_assert_eq!(select(&logits, 4, &options).unwrap_err().endpoint, level);
        }
    }

    #[test]
    fn ranks_keep_logit_and_index(logit in -1e38..1e38_f32, index in 0..=u32::MAX as usize) {
        let rank = Rank::new(logit, index);
        prop_assert_eq!((rank.logit(), rank.index()), (logit, index));
    }
}

#[test]
fn a_threshold_is_met_to_the_last_bit() {
    for logit in [-12.0, -6.907_755, -2.0, -0.0, 0.3, 4.0, 12.0_f32] {
        let score = sigmoid(logit);
        let at = PostProcessing { score, ..PostProcessing::EFFDET };
        let below = PostProcessing { score: score.next_down(), ..PostProcessing::EFFDET };
        assert_eq!(select(&[logit], 1, &at).unwrap(), []);
        assert_eq!(select(&[logit], 1, &below).unwrap().len(), 1, "{logit}");
    }
}
