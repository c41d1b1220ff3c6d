// What programs share that give a workgroup to each row of a matrix: the norms.

/** Threads to a row: rows of a small model are a hundred numbers wide, and each thread reads four at once. */
export const ROW_THREADS = 32

/** WGSL `overRow(value, rank)`: the sum of all threads' values, in one order. Both barriers must be met by the whole workgroup. */
export const overRow = `var<workgroup> partial: array<vec2<f32>, ${ROW_THREADS}>;
fn overRow(value: vec2<f32>, rank: u32) -> vec2<f32> {
  workgroupBarrier();
  partial[rank] = value;
  workgroupBarrier();
  var sum = vec2<f32>();
  for (var other = 0u; other < ${ROW_THREADS}u; other++) { sum += partial[other]; }
  return sum;
}`

/** WGSL: `visit` for each lane of the workgroup's row that this thread owns; `at` is its place in the matrix, `lane` in the row. */
export const overLanes = (visit: string): string =>
  `for (var lane = rank; lane < u.width; lane += ${ROW_THREADS}u) {
let at = row * u.width + lane;
${visit}
}`

/** WGSL: the workgroup's row; rows beyond 65535 continue in y. Whole workgroups leave, so barriers stay uniform. */
export const ownRow = `let row = group.x + group.y * groups.x;
if (row >= u.rows) { return; }`
