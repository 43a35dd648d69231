OPENQASM 3.0;
// iqp, 4 qubits, 2 layers, trained False; written by qfedfm circuits export
include "stdgates.inc";
@qfedfm.input x 4
input float[64] x_0;
input float[64] x_1;
input float[64] x_2;
input float[64] x_3;
@qfedfm.observable Z[0]
@qfedfm.observable Z[1]
@qfedfm.observable Z[2]
@qfedfm.observable Z[3]
qubit[4] q;
h q[0];
h q[1];
h q[2];
h q[3];
p(2.0*x_0) q[0];
p(2.0*x_1) q[1];
p(2.0*x_2) q[2];
p(2.0*x_3) q[3];
cx q[0], q[1];
p(-2*pi*x_0+2.0*x_0*x_1-2*pi*x_1+19.739208802178716) q[1];
cx q[0], q[1];
cx q[0], q[2];
p(-2*pi*x_0+2.0*x_0*x_2-2*pi*x_2+19.739208802178716) q[2];
cx q[0], q[2];
cx q[0], q[3];
p(-2*pi*x_0+2.0*x_0*x_3-2*pi*x_3+19.739208802178716) q[3];
cx q[0], q[3];
cx q[1], q[2];
p(-2*pi*x_1+2.0*x_1*x_2-2*pi*x_2+19.739208802178716) q[2];
cx q[1], q[2];
cx q[1], q[3];
p(-2*pi*x_1+2.0*x_1*x_3-2*pi*x_3+19.739208802178716) q[3];
cx q[1], q[3];
cx q[2], q[3];
p(-2*pi*x_2+2.0*x_2*x_3-2*pi*x_3+19.739208802178716) q[3];
cx q[2], q[3];
h q[0];
h q[1];
h q[2];
h q[3];
p(2.0*x_0) q[0];
p(2.0*x_1) q[1];
p(2.0*x_2) q[2];
p(2.0*x_3) q[3];
cx q[0], q[1];
p(-2*pi*x_0+2.0*x_0*x_1-2*pi*x_1+19.739208802178716) q[1];
cx q[0], q[1];
cx q[0], q[2];
p(-2*pi*x_0+2.0*x_0*x_2-2*pi*x_2+19.739208802178716) q[2];
cx q[0], q[2];
cx q[0], q[3];
p(-2*pi*x_0+2.0*x_0*x_3-2*pi*x_3+19.739208802178716) q[3];
cx q[0], q[3];
cx q[1], q[2];
p(-2*pi*x_1+2.0*x_1*x_2-2*pi*x_2+19.739208802178716) q[2];
cx q[1], q[2];
cx q[1], q[3];
p(-2*pi*x_1+2.0*x_1*x_3-2*pi*x_3+19.739208802178716) q[3];
cx q[1], q[3];
cx q[2], q[3];
p(-2*pi*x_2+2.0*x_2*x_3-2*pi*x_3+19.739208802178716) q[3];
cx q[2], q[3];
