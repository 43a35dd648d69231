OPENQASM 3.0;
// bb84_prepare_measure, 2 qubits, 1 layer; written by qfedfm circuits export
include "stdgates.inc";
@qfedfm.input bit 2
input float[64] x_0;
input float[64] x_1;
@qfedfm.input sent 2
input float[64] x_2;
input float[64] x_3;
@qfedfm.input read 2
input float[64] x_4;
input float[64] x_5;
@qfedfm.observable Z[0]
@qfedfm.observable Z[1]
qubit[2] q;
ry(pi*x_0) q[0];
ry(pi/2*x_2) q[0];
ry(-pi/2*x_4) q[0];
ry(pi*x_1) q[1];
ry(pi/2*x_3) q[1];
ry(-pi/2*x_5) q[1];
