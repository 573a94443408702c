using Overlay.Rpc.Grpc;

namespace Overlay.Rpc.Tests.Grpc;

/// <summary>Notations of headers, by gRPC's description of its protocol over HTTP/2.</summary>
public sealed class GrpcHeadersTests
{
    [Theory]
    [InlineData("1H", 3_600_000)]
    [InlineData("2M", 120_000)]
    [InlineData("3S", 3_000)]
    [InlineData("99999999m", 99_999_999)]
    [InlineData("5000u", 5)]
    [InlineData("7000000n", 7)]
    [InlineData("99999999H", 24.0 * 24 * 3_600_000)]
    public void TryParseTimeout_OfEachUnit_ReadsIt(string text, double milliseconds)
    {
        Assert.True(GrpcHeaders.TryParseTimeout(text, out TimeSpan timeout));
        Assert.Equal(milliseconds, timeout.TotalMilliseconds);
    }

    [Theory]
    [InlineData("")]
    [InlineData("5")]
    [InlineData("m")]
    [InlineData("-5m")]
    [InlineData("123456789m")]
    [InlineData("5 m")]
    [InlineData("5s")]
    public void TryParseTimeout_OfAnythingElse_IsFalse(string text) => Assert.False(GrpcHeaders.TryParseTimeout(text, out _));

    [Theory]
    [InlineData(0.2, "1m")]
    [InlineData(1500, "1500m")]
    [InlineData(99_999_999, "99999999m")]
    [InlineData(200_000_000, "200000S")]
    public void FormatTimeout_OfEachSize_FitsEightDigits(double milliseconds, string text) =>
        Assert.Equal(text, GrpcHeaders.FormatTimeout(TimeSpan.FromMilliseconds(milliseconds)));

    [Theory]
    [InlineData("50 %\n", "50 %25%0A")]
    [InlineData("ü", "%C3%BC")]
    [InlineData("\ud83d\ude00", "%F0%9F%98%80")]
    public void EncodeMessage_OfMoreThanPrintableAscii_IsPercentEncodedUtf8(string message, string encoded)
    {
        Assert.Equal(encoded, GrpcHeaders.EncodeMessage(message));
        Assert.Equal(message, GrpcHeaders.DecodeMessage(encoded));
    }

    [Theory]
    [InlineData("100%", "100%")]
    [InlineData("%zz%41", "%zzA")]
    public void DecodeMessage_WithAStrayPercent_KeepsIt(string encoded, string message) =>
        Assert.Equal(message, GrpcHeaders.DecodeMessage(encoded));

    [Fact]
    public void EncodeMessage_OfMoreThanAHeaderHolds_IsCutAtARune() =>
        Assert.Equal(4092, GrpcHeaders.EncodeMessage(string.Concat(Enumerable.Repeat("\ud83d\ude00", 1000))).Length);

    [Theory]
    [InlineData("application/grpc", true)]
    [InlineData("application/grpc+proto", true)]
    [InlineData("application/grpc;charset=x", true)]
    [InlineData("application/grpc+json", false)]
    [InlineData("application/grpc-web", false)]
    [InlineData("application/json", false)]
    [InlineData(null, false)]
    public void IsGrpc_OfEachContentType_Decides(string? contentType, bool expected) => Assert.Equal(expected, GrpcHeaders.IsGrpc(contentType));
}
