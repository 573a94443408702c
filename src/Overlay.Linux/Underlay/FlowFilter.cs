using Overlay.Linux.Interop;
using Overlay.Wire;

namespace Overlay.Linux.Underlay;

/// <summary>
/// Gives each of several raw sockets its share of the packets, of which the kernel offers every one to every socket: a classic BPF program
/// that hashes the inner addresses, and ports where there are any, so that a flow keeps to one socket. What is too short for that goes to the
/// first.
/// </summary>
internal static unsafe class FlowFilter
{
    private const uint Everything = uint.MaxValue;

    /// <summary>2³² divided by the golden ratio: spreads what differs in few bits.</summary>
    private const uint Multiplier = 0x9e37_79b1;

    private const int Accept = 0, Refuse = 1, Short = 2, NoPorts = 3, Mix = 4, HasPorts = 5, Labels = 6;

    /// <summary>Attaches the filter.</summary>
    /// <param name="socket">Raw, of IP protocol 4 or 41.</param>
    /// <param name="outerIsIpv4">Such sockets deliver the outer header too.</param>
    /// <param name="innerIsIpv4">Protocol 4.</param>
    /// <param name="index">Of the socket among those that share.</param>
    /// <param name="count">Sockets that share.</param>
    public static void Attach(FileDescriptor socket, bool outerIsIpv4, bool innerIsIpv4, int index, int count)
    {
        SockFilter[] instructions = Build(outerIsIpv4, innerIsIpv4, index, count);
        fixed (SockFilter* first = instructions)
        {
            var program = new SockFProg { len = (ushort)instructions.Length, filter = (nint)first };
            if (Libc.SetSocketOption(socket.Number, Sockets.SOL_SOCKET, Sockets.SO_ATTACH_FILTER, &program, (uint)sizeof(SockFProg)) < 0)
                throw LinuxException.Last("setsockopt SO_ATTACH_FILTER");
        }
    }

    private static SockFilter[] Build(bool outerIsIpv4, bool innerIsIpv4, int index, int count)
    {
        const uint inner = 0, source = 1, destination = 2, transport = 3;
        const ushort length = Sockets.BPF_LD | Sockets.BPF_W | Sockets.BPF_LEN;
        const ushort word = Sockets.BPF_LD | Sockets.BPF_W | Sockets.BPF_IND;
        const ushort half = Sockets.BPF_LD | Sockets.BPF_H | Sockets.BPF_IND;
        const ushort octet = Sockets.BPF_LD | Sockets.BPF_B | Sockets.BPF_IND;
        const ushort load = Sockets.BPF_LDX | Sockets.BPF_MEM;
        const ushort alu = Sockets.BPF_ALU | Sockets.BPF_K;
        const ushort xor = Sockets.BPF_ALU | Sockets.BPF_XOR | Sockets.BPF_X;
        const ushort equal = Sockets.BPF_JMP | Sockets.BPF_JEQ | Sockets.BPF_K;
        const ushort reaches = Sockets.BPF_JMP | Sockets.BPF_JGE | Sockets.BPF_X;
        const ushort tax = Sockets.BPF_MISC | Sockets.BPF_TAX, txa = Sockets.BPF_MISC | Sockets.BPF_TXA;
        uint header = (uint)(innerIsIpv4 ? Ipv4Packet.MinHeaderLength : Ipv6Packet.HeaderLength);
        var program = new Assembly();

        // X is where the inner packet starts. Is the fixed header there?
        program.Add(outerIsIpv4 ? (ushort)(Sockets.BPF_LDX | Sockets.BPF_B | Sockets.BPF_MSH) : (ushort)(Sockets.BPF_LDX | Sockets.BPF_IMM), 0);
        program.Add(Sockets.BPF_STX, inner);
        program.Add(txa, 0).Add(alu | Sockets.BPF_ADD, header).Add(tax, 0).Add(length, 0).Jump(reaches, 0, otherwise: Short);
        program.Add(load, inner);
        // Of IPv6 addresses the last words.
        program.Add(word, innerIsIpv4 ? 12u : 20).Add(Sockets.BPF_ST, source).Add(word, innerIsIpv4 ? 16u : 36).Add(Sockets.BPF_ST, destination);
        // Fragments go with each other: none has its ports read.
        if (innerIsIpv4) program.Add(half, 6).Jump(Sockets.BPF_JMP | Sockets.BPF_JSET | Sockets.BPF_K, 0x3fff, then: NoPorts);
        program.Add(octet, innerIsIpv4 ? 9u : 6).Jump(equal, IpProtocols.Tcp, then: HasPorts).Jump(equal, IpProtocols.Udp, otherwise: NoPorts);
        program.Mark(HasPorts);
        if (innerIsIpv4)
        {
            program.Add(octet, 0).Add(alu | Sockets.BPF_AND, 0xf).Add(alu | Sockets.BPF_LSH, 2)
                .Add(Sockets.BPF_ALU | Sockets.BPF_ADD | Sockets.BPF_X, 0);
        }
        else program.Add(txa, 0).Add(alu | Sockets.BPF_ADD, header);
        program.Add(Sockets.BPF_ST, transport).Add(alu | Sockets.BPF_ADD, 4).Add(tax, 0).Add(length, 0).Jump(reaches, 0, otherwise: NoPorts);
        program.Add(load, transport).Add(word, 0).Go(Mix);
        program.Mark(NoPorts).Add(Sockets.BPF_LD | Sockets.BPF_IMM, 0);
        program.Mark(Mix).Add(load, source).Add(xor, 0).Add(load, destination).Add(xor, 0);
        // The top bits of the product hang on all of the key, those further down on what is below them only: even source ports would be one flow.
        program.Add(alu | Sockets.BPF_MUL, Multiplier).Add(alu | Sockets.BPF_RSH, 16).Add(alu | Sockets.BPF_MUL, (uint)count).Add(alu | Sockets.BPF_RSH, 16);
        program.Jump(equal, (uint)index, then: Accept, otherwise: Refuse);
        program.Mark(Short).Add(Sockets.BPF_RET | Sockets.BPF_K, index == 0 ? Everything : 0);
        program.Mark(Accept).Add(Sockets.BPF_RET | Sockets.BPF_K, Everything);
        program.Mark(Refuse).Add(Sockets.BPF_RET | Sockets.BPF_K, 0);
        return program.Finish();
    }

    /// <summary>Instructions whose jumps name labels.</summary>
    private sealed class Assembly
    {
        private const int Next = -1;

        private readonly List<(SockFilter Instruction, int Then, int Otherwise)> _instructions = [];
        private readonly int[] _places = new int[Labels];

        public Assembly Add(int code, uint operand)
        {
            _instructions.Add((new SockFilter { code = (ushort)code, k = operand }, Next, Next));
            return this;
        }

        public Assembly Jump(int code, uint operand, int then = Next, int otherwise = Next)
        {
            _instructions.Add((new SockFilter { code = (ushort)code, k = operand }, then, otherwise));
            return this;
        }

        /// <summary>Jumps whatever the accumulator holds: it is always at least 0.</summary>
        public Assembly Go(int label) => Jump(Sockets.BPF_JMP | Sockets.BPF_JGE | Sockets.BPF_K, 0, label, label);

        public Assembly Mark(int label)
        {
            _places[label] = _instructions.Count;
            return this;
        }

        public SockFilter[] Finish()
        {
            var finished = new SockFilter[_instructions.Count];
            for (int i = 0; i < finished.Length; i++)
            {
                (SockFilter instruction, int then, int otherwise) = _instructions[i];
                instruction.jt = Distance(i, then);
                instruction.jf = Distance(i, otherwise);
                finished[i] = instruction;
            }
            return finished;
        }

        private byte Distance(int from, int label) => label == Next ? (byte)0 : checked((byte)(_places[label] - from - 1));
    }
}
