using Overlay.Agent.Metrics;

namespace Overlay.Agent.Tests.Metrics;

public sealed class AddressForecastTests
{
    [Fact]
    public void SecondsLeft_AddressesThatBecomeFewer_AreGoneAtThatPace()
    {
        var forecast = new AddressForecast();
        for (int minute = 0; minute <= 10; minute++) forecast.Add(TimeSpan.FromMinutes(minute), 100 + (6 * minute));
        // 60 in ten minutes, so 0.1 a second.
        Assert.Equal(900, forecast.SecondsLeft(TimeSpan.FromMinutes(10), 160, 90), 1e-6);
    }

    [Theory]
    [InlineData(100, 100)]
    [InlineData(100, 80)]
    public void SecondsLeft_NoGrowth_IsInfinite(long before, long now)
    {
        var forecast = new AddressForecast();
        forecast.Add(TimeSpan.Zero, before);
        Assert.Equal(double.PositiveInfinity, forecast.SecondsLeft(TimeSpan.FromMinutes(30), now, 50));
    }

    [Fact]
    public void SecondsLeft_AfterAShortTime_SaysNothingOfTheStart()
    {
        var forecast = new AddressForecast();
        forecast.Add(TimeSpan.Zero, 0);
        Assert.Equal(double.PositiveInfinity, forecast.SecondsLeft(TimeSpan.FromMinutes(1), 100, 50));
        Assert.Equal(0, forecast.SecondsLeft(TimeSpan.FromMinutes(1), 150, 0));
    }

    [Fact]
    public void Add_OlderThanTheWindow_IsForgotten()
    {
        var forecast = new AddressForecast();
        forecast.Add(TimeSpan.Zero, 0);
        for (int minute = 60; minute <= 130; minute += 10) forecast.Add(TimeSpan.FromMinutes(minute), 1000);
        Assert.Equal(double.PositiveInfinity, forecast.SecondsLeft(TimeSpan.FromMinutes(130), 1000, 50));
    }
}
