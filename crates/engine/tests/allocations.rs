//! A call allocates nothing but the list of its results, once the first call has made the plan and the
//! memory. One test alone, for it counts what the whole process allocates.

use std::alloc::{GlobalAlloc, Layout, System};
use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use effigy_arch::{EfficientDet, EfficientNet, Graph};
use effigy_engine::{Calibration, Model, Options, Precision, Value};
use effigy_tensor::Tensor;

struct Counting;

static ALLOCATIONS: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call is passed on to the system's allocator as it came; only a counter is kept beside.
#[allow(unsafe_code)]
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Relaxed);
        // SAFETY: the caller keeps `alloc`'s contract.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Relaxed);
        // SAFETY: the caller keeps `alloc_zeroed`'s contract.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps `dealloc`'s contract.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// The list of the results that the caller is shown.
const PER_CALL: usize = 1;
/// Calls before those that count: one makes the plan, and threads of the pool may be late to their first job.
const WARM_UP: usize = 3;
const CALLS: usize = 5;

fn model(graph: &Graph, threads: usize, precision: Precision) -> Model {
    // Zeros everywhere: what is computed does not matter.
    let zeros = |spec: effigy_arch::ParamSpec| (spec.name, Tensor::zeros(&spec.shape));
    let parameters: HashMap<String, Tensor> = graph.param_specs().into_iter().map(zeros).collect();
    let mut options = Options { threads, precision, ..Options::default() };
    if precision == Precision::Int8 {
        let mut calibration = Calibration::new(graph, &parameters, &options).unwrap();
        calibration.observe(&Tensor::zeros(&[1, 64, 64, 3])).unwrap();
        options.quantisation = Some(calibration.measured().into());
    }
    Model::new(graph, &parameters, &options).unwrap()
}

#[test]
fn calls_allocate_only_the_list_of_their_results() {
    let classifier = EfficientNet::from_name("efficientnet-b0").unwrap().graph();
    let lite = EfficientNet::from_name("efficientnet-lite0").unwrap().graph();
    let detector = EfficientDet::from_name("efficientdet-d0").unwrap().graph();
    let cases = [
        ("B0", &classifier, Precision::Fp32),
        ("Lite0", &lite, Precision::Fp32),
        ("D0", &detector, Precision::Fp32),
        ("B0", &classifier, Precision::Int8),
        ("Lite0", &lite, Precision::Int8),
    ];
    for (name, graph, precision) in cases {
        for threads in [1, 2] {
            let model = model(graph, threads, precision);
            let input = Tensor::zeros(&[1, 64, 64, 3]);
            let call =
                || model.run_with(&input, |results: &[Value<'_>]| assert!(!results.is_empty())).unwrap();
            (0..WARM_UP).for_each(|_| call());
            let before = ALLOCATIONS.load(Relaxed);
            (0..CALLS).for_each(|_| call());
            let made = ALLOCATIONS.load(Relaxed) - before;
            assert!(
                made <= CALLS * PER_CALL,
                "{name}, {precision}, {threads} threads: {made} allocations in {CALLS} calls"
            );
        }
    }
}
