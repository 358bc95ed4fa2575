use super::*;

#[test]
fn protocol_0_is_lines_of_text() {
    // pickle.dumps(OrderedDict([('a', -5), ('b', [True, (1, 2.5)]), ('big', 1 << 70)]), protocol=0)
    let text = b"ccollections\nOrderedDict\np0\n(tRp1\nVa\np2\nI-5\nsVb\np3\n(lp4\nI01\na(I1\nF2.5\ntp5\nasVbig\np6\nL1180591620717411303424L\ns.";
    let pickle = parse(text, 0).unwrap();
    let Value::Object(object) = pickle.value(pickle.root) else { panic!("an object expected") };
    assert_eq!(pickle.call(object), Some(("collections.OrderedDict", &[][..])));
    let keys: Vec<_> = object.items.iter().map(|(key, _)| pickle.str(*key).unwrap()).collect();
    assert_eq!(keys, ["a", "b", "big"]);
    let values: Vec<_> = object.items.iter().map(|(_, value)| pickle.value(*value)).collect();
    assert_eq!(*values[0], Value::Int(-5));
    assert_eq!(*values[2], Value::Long([0, 0, 0, 0, 0, 0, 0, 0, 64].into()));
    let Value::List(list) = values[1] else { panic!("a list expected") };
    assert_eq!(*pickle.value(list[0]), Value::Bool(true));
    assert_eq!(pickle.elements(list[1]).map(<[Id]>::len), Some(2));
    assert_eq!(pickle.end, text.len());
}

#[test]
fn nothing_is_called() {
    // What would run a command under Python is a name and its arguments here.
    let pickle = parse(b"cposix\nsystem\n(Vtouch x\ntR.", 0).unwrap();
    let Value::Object(object) = pickle.value(pickle.root) else { panic!("an object expected") };
    let (function, args) = pickle.call(object).unwrap();
    assert_eq!((function, pickle.str(args[0])), ("posix.system", Some("touch x")));
}

#[test]
fn endless_nesting_ends() {
    let deep = [vec![b']'; 2 * MAX_PICKLE_OPERATIONS], vec![b'.']].concat();
    assert!(matches!(parse(&deep, 0), Err(FormatError::Limit { .. })));
    let mut tuples = vec![b')'];
    tuples.extend(vec![0x85; MAX_PICKLE_OPERATIONS - 10]);
    tuples.push(b'.');
    assert!(parse(&tuples, 0).is_ok());
}
