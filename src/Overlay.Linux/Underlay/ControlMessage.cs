using Overlay.Linux.Interop;

namespace Overlay.Linux.Underlay;

/// <summary>Control messages of sendmsg(2) and recvmsg(2) (cmsg(3)): each starts on a multiple of the word.</summary>
internal static unsafe class ControlMessage
{
    /// <summary>Bytes that a message with an int or less takes: CMSG_SPACE(4).</summary>
    public const int IntSpace = 24;

    public static int Align(int length) => (length + sizeof(nuint) - 1) & ~(sizeof(nuint) - 1);

    /// <returns>Where the next message goes.</returns>
    public static byte* WriteInt(byte* at, int level, int type, int value)
    {
        *(CMsgHdr*)at = new CMsgHdr { cmsg_len = (nuint)(sizeof(CMsgHdr) + sizeof(int)), cmsg_level = level, cmsg_type = type };
        *(int*)(at + sizeof(CMsgHdr)) = value;
        return at + IntSpace;
    }

    /// <returns>Where the next message goes.</returns>
    public static byte* WriteUInt16(byte* at, int level, int type, ushort value)
    {
        *(CMsgHdr*)at = new CMsgHdr { cmsg_len = (nuint)(sizeof(CMsgHdr) + sizeof(ushort)), cmsg_level = level, cmsg_type = type };
        *(ushort*)(at + sizeof(CMsgHdr)) = value;
        return at + IntSpace;
    }
}
