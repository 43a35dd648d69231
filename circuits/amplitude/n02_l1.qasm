OPENQASM 3.0;
// amplitude, 2 qubits, 1 layer; written by qfedfm circuits export
include "stdgates.inc";
@qfedfm.weight w 1 2 3
input float[64] w_0;
input float[64] w_1;
input float[64] w_2;
input float[64] w_3;
input float[64] w_4;
input float[64] w_5;
@qfedfm.fixed amplitudes
@qfedfm.observable Z[0]
@qfedfm.observable Z[1]
qubit[2] q;
ry(1.7751772901945382) q[0];
ry(-1.2287897879281349) q[1];
cx q[0], q[1];
ry(-1.071734708339638) q[1];
cx q[0], q[1];
rz(w_0) q[0];
ry(w_1) q[0];
rz(w_2) q[0];
rz(w_3) q[1];
ry(w_4) q[1];
rz(w_5) q[1];
cx q[0], q[1];
cx q[1], q[0];
